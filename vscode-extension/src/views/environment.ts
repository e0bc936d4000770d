import { existsSync } from "node:fs";
import { join } from "node:path";
import * as vscode from "vscode";

/** The part of the Python extension's interface that is asked for. */
interface PythonExtension {
  readonly environments?: {
    getActiveEnvironmentPath(resource?: vscode.Uri): { readonly path: string };
  };
}

async function chosenInPythonExtension(folder: vscode.Uri | undefined): Promise<string[]> {
  const extension = vscode.extensions.getExtension<PythonExtension>("ms-python.python");
  if (!extension) return [];
  const api = extension.isActive ? extension.exports : await extension.activate();
  const path = api.environments?.getActiveEnvironmentPath(folder).path;
  return path === undefined || path === "" ? [] : [path];
}

function inFolder(folder: vscode.Uri): string[] {
  const inside = process.platform === "win32" ? "Scripts/python.exe" : "bin/python";
  return [".venv", "venv"].map((name) => join(folder.fsPath, name, inside)).filter(existsSync);
}

/** Interpreters of the open folders: the one chosen in the Python extension first. */
export async function workspacePythons(): Promise<readonly string[]> {
  const folders = vscode.workspace.workspaceFolders ?? [];
  const chosen = await chosenInPythonExtension(folders[0]?.uri);
  const found = folders
    .filter(({ uri }) => uri.scheme === "file")
    .flatMap(({ uri }) => inFolder(uri));
  return [...new Set([...chosen, ...found])];
}
