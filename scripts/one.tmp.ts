import { readFileSync } from "node:fs";
import * as api from "/work/hostile/src/index.ts";
const [f, op] = process.argv.slice(2) as [string,string];
const m = api.decodeModel(new Uint8Array(readFileSync(f)));
console.log(m.metadata.keys(), m.functions.map(f=>f.domain+f.name), [...m.opsets]);
const artifacts = { trainingModel: null, evalModel: null, optimizerModel: null, checkpoint: null };
if (op==="strip"){const t=(x:any)=>api.printModel(x); const b=api.decodeModel(api.encodeModel(m)); api.insertAgr(m,{count:2}); api.stripAgr(m); console.log(api.diffModels(b,m));}
if (op==="build") await api.buildTrainingArtifacts(m,{loss:{kind:"mse"}});
if (op==="lower") await api.lowerArtifacts({...artifacts, trainingModel:m, optimizerModel:m});
if (op==="lowerOps") api.lowerTrainingOps(m);
