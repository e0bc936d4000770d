// Where the pieces of the editor test live: one cache folder at the root of the repository.
import path from "node:path";

export const ROOT = path.resolve(import.meta.dirname, "../..");
export const CACHE = path.join(ROOT, ".cache/editor");
export const ARTIFACTS = path.join(import.meta.dirname, "artifacts");
export const EXTENSION = path.join(ROOT, "vscode-extension");
export const VSIX = path.join(EXTENSION, "am-inseq.vsix");
export const EXTENSIONS_DIR = path.join(CACHE, "extensions");
export const CODE_SERVER_VERSION = "4.139.1";
export const CODE_SERVER = path.join(CACHE, "code-server/node_modules/code-server");
export const BROWSERS = path.join(CACHE, "browsers");
export const PYTHON = process.env.AM_INSEQ_TEST_PYTHON ?? path.join(ROOT, ".venv/bin/python");
