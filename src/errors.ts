/**
 * Every error this package throws on purpose. `code` is stable and part of the public interface; `exitCode` is what the
 * command line ends with (DESIGN: 2 usage, 3 malformed or unsafe input, 4 unsupported or nothing to do, 5 data, 6 file
 * system, 7 numbers, 8 checkpoint does not fit, 9 runtime, 10 distributed training).
 */

export interface ErrorDetails {
  /** The file the error is about, as the caller named it. */
  readonly file?: string;
  /** Where inside the file: a field path, a node or a tensor. */
  readonly field?: string;
  /** What to do about it. */
  readonly hint?: string;
  readonly cause?: unknown;
}

export abstract class OnnxAgrError extends Error {
  abstract readonly exitCode: number;
  readonly code: string;
  readonly field: string | undefined;
  readonly hint: string | undefined;
  #file: string | undefined;

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.#file = details.file;
    this.field = details.field;
    this.hint = details.hint;
  }

  /** This error, naming `file` from now on; it keeps a file it names already, its stack and its cause. */
  inFile(file: string): this {
    this.#file ??= file;
    return this;
  }

  get file(): string | undefined {
    return this.#file;
  }
}

/** What `read` returns. An error of ours that it throws names `file`. */
export function namingFile<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof OnnxAgrError ? error.inFile(file) : error;
  }
}

/** A wrong option or combination of options. */
export class UsageError extends OnnxAgrError {
  override readonly name = "UsageError";
  readonly exitCode = 2;
}

/** @throws UsageError `E_OPTION`, saying that `option` must be `rule`, where `holds` is false. */
export function requireOption(holds: boolean, option: string, rule: string): void {
  if (!holds) throw new UsageError("E_OPTION", `${option} must be ${rule}`, { field: option });
}

/** Bytes that are not what they should be: not ONNX, truncated, an unsafe path, a tensor of the wrong length. */
export class FormatError extends OnnxAgrError {
  override readonly name = "FormatError";
  readonly exitCode = 3;
}

/** A well-encoded model whose graph is wrong: a cycle, a name defined twice, a dangling input. */
export class GraphError extends OnnxAgrError {
  override readonly name = "GraphError";
  readonly exitCode = 3;
}

/** A valid model that this pass cannot or need not change. */
export class PassError extends OnnxAgrError {
  override readonly name = "PassError";
  readonly exitCode = 4;
}

/** A model that cannot be differentiated, and where. */
export class GradientError extends OnnxAgrError {
  override readonly name = "GradientError";
  readonly exitCode = 4;
}

/** Training data that do not fit the model. */
export class DataError extends OnnxAgrError {
  override readonly name = "DataError";
  readonly exitCode = 5;
}

/** The file system said no. */
export class FileSystemError extends OnnxAgrError {
  override readonly name = "FileSystemError";
  readonly exitCode = 6;
}

/** What a failed system call means to the person who gave the path. */
const REASONS: Record<string, string> = {
  ENOENT: "no such file or folder",
  ENOTDIR: "a part of the path is not a folder",
  EISDIR: "is a folder, not a file",
  ENXIO: "not a regular file",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EROFS: "the file system is read-only",
  ENOSPC: "no space left on the device",
  EDQUOT: "the disk quota is used up",
  EFBIG: "the file would exceed the size limit",
  EMFILE: "too many open files in this process",
  ENFILE: "too many open files in this system",
  ENAMETOOLONG: "the path is too long",
  ELOOP: "a symbolic link where a file is expected",
  EIO: "the device reported an input/output error",
  EXDEV: "the target is on another file system",
};

/** The code of a failed system call, `ENOENT` say; empty for other errors. */
export function errnoCode(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

export function systemReason(cause: unknown): string {
  return REASONS[errnoCode(cause)] ?? (cause instanceof Error ? cause.message : String(cause));
}

const REMEDIES: Readonly<Record<string, string>> = {
  EMFILE: "Raise the limit of the shell that starts it: ulimit -n 1024.",
  ENFILE: "Close other programs, or raise fs.file-max.",
};

/** Turns a system error into ours, naming the path and the cause. */
export function fileSystemError(action: string, path: string, cause: unknown): FileSystemError {
  const hint = REMEDIES[errnoCode(cause)];
  const details = { file: path, cause, ...(hint === undefined ? {} : { hint }) };
  return new FileSystemError("E_FILE_SYSTEM", `cannot ${action} ${path}: ${systemReason(cause)}`, details);
}

/** NaN or infinity where a number is needed. */
export class NumericError extends OnnxAgrError {
  override readonly name = "NumericError";
  readonly exitCode = 7;
}

/** A checkpoint that does not fit the model or the options. */
export class CheckpointError extends OnnxAgrError {
  override readonly name = "CheckpointError";
  readonly exitCode = 8;
}

/** ONNX Runtime is not installed, did not load, or failed. */
export class BackendError extends OnnxAgrError {
  override readonly name = "BackendError";
  readonly exitCode = 9;
}

/** Ranks that cannot train together, or no longer. */
export class DistributedError extends OnnxAgrError {
  override readonly name = "DistributedError";
  readonly exitCode = 10;
}
