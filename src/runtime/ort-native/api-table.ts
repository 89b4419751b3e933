/**
 * ONNX Runtime's C API is one table of functions, `OrtApi`, which only grows: a function keeps its position in every version
 * after the one that brought it. Positions counted from `CreateStatus` = 0 in onnxruntime_c_api.h; C types as koffi names them.
 */
const POINTER = "void *";
const TEXT = "const char *";

/** The version of the table that is asked for: that of ONNX Runtime 1.20, the oldest that this package takes. */
export const API_VERSION = 20;

interface Entry {
  readonly position: number;
  readonly result: string;
  readonly takes: readonly string[];
}

/** A function that gives a status: null, or an object that says what went wrong. */
const status = (position: number, ...takes: readonly string[]): Entry => ({ position, result: POINTER, takes });
const releases = (position: number): Entry => ({ position, result: "void", takes: [POINTER] });

export const ORT_API = {
  GetErrorMessage: { position: 2, result: TEXT, takes: [POINTER] },
  CreateEnv: status(3, "int", TEXT, POINTER),
  CreateSessionFromArray: status(8, POINTER, POINTER, "size_t", POINTER, POINTER),
  Run: status(9, POINTER, POINTER, POINTER, POINTER, "size_t", POINTER, "size_t", POINTER),
  CreateSessionOptions: status(10, POINTER),
  SetSessionExecutionMode: status(13, POINTER, "int"),
  SetSessionLogSeverityLevel: status(22, POINTER, "int"),
  SetIntraOpNumThreads: status(24, POINTER, "int"),
  SetInterOpNumThreads: status(25, POINTER, "int"),
  SessionGetInputCount: status(30, POINTER, POINTER),
  SessionGetOutputCount: status(31, POINTER, POINTER),
  SessionGetInputName: status(36, POINTER, "size_t", POINTER, POINTER),
  SessionGetOutputName: status(37, POINTER, "size_t", POINTER, POINTER),
  CreateRunOptions: status(39, POINTER),
  RunOptionsSetRunLogSeverityLevel: status(41, POINTER, "int"),
  RunOptionsSetTerminate: status(46, POINTER),
  CreateTensorAsOrtValue: status(48, POINTER, POINTER, "size_t", "int", POINTER),
  CreateTensorWithDataAsOrtValue: status(49, POINTER, POINTER, "size_t", POINTER, "size_t", "int", POINTER),
  GetTensorMutableData: status(51, POINTER, POINTER),
  GetTensorElementType: status(60, POINTER, POINTER),
  GetDimensionsCount: status(61, POINTER, POINTER),
  GetDimensions: status(62, POINTER, POINTER, "size_t"),
  GetTensorTypeAndShape: status(65, POINTER, POINTER),
  CreateMemoryInfo: status(68, TEXT, "int", "int", "int", POINTER),
  AllocatorAlloc: status(75, POINTER, "size_t", POINTER),
  AllocatorFree: status(76, POINTER, POINTER),
  GetAllocatorWithDefaultOptions: status(78, POINTER),
  ReleaseStatus: releases(93),
  ReleaseMemoryInfo: releases(94),
  ReleaseSession: releases(95),
  ReleaseValue: releases(96),
  ReleaseRunOptions: releases(97),
  ReleaseTensorTypeAndShapeInfo: releases(99),
  ReleaseSessionOptions: releases(100),
  AddSessionConfigEntry: status(130, POINTER, TEXT, TEXT),
  CreateAllocator: status(131, POINTER, POINTER, POINTER),
  ReleaseAllocator: releases(132),
  SessionOptionsAppendExecutionProvider_CUDA_V2: status(204, POINTER, POINTER),
  CreateCUDAProviderOptions: status(205, POINTER),
  UpdateCUDAProviderOptions: status(206, POINTER, POINTER, POINTER, "size_t"),
  ReleaseCUDAProviderOptions: releases(208),
} as const satisfies Readonly<Record<string, Entry>>;

export type OrtFunction = keyof typeof ORT_API;

/** `ONNXTensorElementDataType`, by the names of element types in JavaScript. */
export const ELEMENT_TYPES = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
} as const;

/** `OrtLoggingLevel`: fatal errors alone. What it has to say comes with the status. */
export const LOG_FATAL = 4;
