import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { homedir } from "node:os";
import { delimiter, isAbsolute, join } from "node:path";

const START_TIMEOUT = 60_000;
// -P keeps the current folder off the module path: no stray file may pose as the daemon.
const MODULE = ["-P", "-m", "am_inseq_daemon.cli.main"];

/** A program that can start the daemon, and the rule that named it. */
export interface Starter {
  readonly command: string;
  readonly args: readonly string[];
  readonly rule: "setting" | "workspace" | "path";
}

/** What the search for a starter depends on. */
export interface Surroundings {
  readonly setting: string;
  readonly isTrusted: boolean;
  readonly workspacePythons: () => Promise<readonly string[]>;
  readonly path: string;
  readonly platform: NodeJS.Platform;
}

/** Where the daemon listens. */
export interface Endpoint {
  readonly pid: number;
  readonly socket: string;
}

/** No starter was found, or none of them has am-inseq installed. */
export class NotInstalledError extends Error {
  override readonly name = "NotInstalledError";
}

/** A starter was found and failed; the message holds its last line. */
export class StartError extends Error {
  override readonly name = "StartError";
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function onPath(surroundings: Surroundings): string | undefined {
  const name = surroundings.platform === "win32" ? "am-inseq.exe" : "am-inseq";
  return surroundings.path
    .split(delimiter)
    .filter((folder) => isAbsolute(folder))
    .map((folder) => join(folder, name))
    .find(isExecutable);
}

/**
 * Starters in the order in which they are tried: the setting alone if there is one, else the
 * workspace's Python environments (only where the workspace is trusted), then `am-inseq` on PATH.
 */
export async function findStarters(surroundings: Surroundings): Promise<readonly Starter[]> {
  if (surroundings.setting !== "") {
    return [{ command: surroundings.setting, args: MODULE, rule: "setting" }];
  }
  const pythons = surroundings.isTrusted ? await surroundings.workspacePythons() : [];
  const command = onPath(surroundings);
  return [
    ...pythons.map((python) => ({ command: python, args: MODULE, rule: "workspace" as const })),
    ...(command === undefined ? [] : [{ command, args: [], rule: "path" as const }]),
  ];
}

function parseEndpoint(line: string): Endpoint | undefined {
  if (!line.startsWith("{")) return undefined;
  const value: unknown = JSON.parse(line);
  if (typeof value !== "object" || value === null) return undefined;
  const { pid, socket } = value as Partial<Record<string, unknown>>;
  return typeof pid === "number" && typeof socket === "string" ? { pid, socket } : undefined;
}

/** Runs `daemon start --json`, which starts the daemon or finds the one that runs. */
export function start(starter: Starter, env: NodeJS.ProcessEnv): Promise<Endpoint> {
  return new Promise((resolve, reject) => {
    const child = spawn(starter.command, [...starter.args, "daemon", "start", "--json"], {
      cwd: homedir(),
      env,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: START_TIMEOUT,
      windowsHide: true,
    });
    let out = "";
    let err = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      out += chunk;
      // Answered at the line, not at the end: a daemon may hold the pipe open.
      const endpoint = out.includes("\n")
        ? out.split("\n").slice(0, -1).map(parseEndpoint).find(Boolean)
        : undefined;
      if (endpoint) resolve(endpoint);
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      err = (err + chunk).slice(-4000);
    });
    child.on("error", (fault) => {
      reject(new NotInstalledError(`${starter.command} cannot be run: ${fault.message}`));
    });
    child.on("exit", () => {
      setImmediate(() => {
        reject(failure(starter, err || out));
      });
    });
  });
}

function failure(starter: Starter, output: string): Error {
  if (/No module named '?am_inseq_daemon/.test(output)) {
    return new NotInstalledError(`am-inseq is not installed in ${starter.command}`);
  }
  if (/unknown option:? -P/i.test(output)) {
    return new NotInstalledError(
      `${starter.command} is older than Python 3.11, which am-inseq needs`,
    );
  }
  const last = output.trim().split("\n").at(-1) ?? "";
  return new StartError(`The daemon did not start: ${last === "" ? "no reason given" : last}`);
}

/** Starts or joins the daemon with the first starter that has am-inseq. */
export async function launch(
  starters: readonly Starter[],
  env: NodeJS.ProcessEnv,
  log: (line: string) => void,
): Promise<Endpoint> {
  const missing: string[] = [];
  for (const starter of starters) {
    log(`starting or joining the daemon by rule "${starter.rule}": ${starter.command}`);
    try {
      return await start(starter, env);
    } catch (fault) {
      if (!(fault instanceof NotInstalledError)) throw fault;
      log(fault.message);
      missing.push(fault.message);
    }
  }
  const why = missing.length > 0 ? missing.join("; ") : "no Python with am-inseq was found";
  throw new NotInstalledError(`${why}. Install am-inseq or choose an interpreter.`);
}
