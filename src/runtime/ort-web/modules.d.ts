/** The builds of onnxruntime-web for browsers: Node does not resolve them, and their surface is that of onnxruntime-common. */
declare module "onnxruntime-web/wasm" {
  export * from "onnxruntime-common";
}
declare module "onnxruntime-web/webgpu" {
  export * from "onnxruntime-common";
}
