/** Counts as CI has them, `ONNX_AGR_COUNTS=all`: of random models, of ranks and MPIs, of steps while memory is looked at. Else fewer. */
export const isFull = process.env["ONNX_AGR_COUNTS"] === "all";
