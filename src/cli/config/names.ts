/** Names of files that are read without being asked for, where they lie in the working folder. */
export const CONFIG_NAMES = ["json", "yaml", "yml", "toml"].map((ending) => `onnx-agr.config.${ending}`);
