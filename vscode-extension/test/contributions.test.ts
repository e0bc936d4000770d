/** package.json says the same as the code. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { DEFAULTS, KEYS } from "../src/state/settings.js";

interface Manifest {
  readonly contributes: {
    readonly commands: readonly { readonly command: string }[];
    readonly keybindings: readonly { readonly command: string; readonly when?: string }[];
    readonly configuration: {
      readonly properties: Readonly<Record<string, { readonly default: unknown; enum?: string[] }>>;
    };
  };
}
interface Catalogue {
  readonly methods: readonly { readonly name: string }[];
  readonly scores: readonly { readonly name: string; readonly needsContrast: boolean }[];
}

const root = new URL("../../", import.meta.url);
const read = async (path: string): Promise<unknown> =>
  JSON.parse(await readFile(new URL(path, root), "utf8"));

const { contributes } = (await read("package.json")) as Manifest;
const { properties } = contributes.configuration;

test("every contributed command is registered, and every registered one contributed", async () => {
  const table = await readFile(new URL("src/commands/table.ts", root), "utf8");
  const registered = [...table.matchAll(/"(am-inseq\.\w+)":/gu)].map((match) => match[1]);

  assert.deepEqual(
    contributes.commands.map(({ command }) => command).toSorted(),
    registered.toSorted(),
  );
});

test("every key has a condition and a known command", () => {
  const known = new Set(contributes.commands.map(({ command }) => command));

  for (const { command, when } of contributes.keybindings) {
    assert.ok(known.has(command), command);
    assert.match(when ?? "", /editorTextFocus/);
  }
});

test("settings and their defaults are those of the code", () => {
  const declared = Object.fromEntries(
    Object.entries(properties).map(([key, value]) => [key, value.default]),
  );
  const coded = Object.fromEntries(
    Object.entries(DEFAULTS).map(([name, value]) => [
      `am-inseq.${KEYS[name as keyof typeof KEYS]}`,
      value as unknown,
    ]),
  );

  assert.deepEqual(declared, coded);
});

test("methods and scores are those of the catalogue", async () => {
  const catalogue = (await read("../daemon/am_inseq_daemon/protocol/catalogue.json")) as Catalogue;
  const scores = catalogue.scores.filter(({ needsContrast }) => !needsContrast);
  const methods = catalogue.methods.filter(({ name }) => name !== "dummy"); // scores nothing

  const names = (list: readonly { readonly name: string }[]): string[] =>
    ["auto", ...list.map(({ name }) => name)].toSorted();
  assert.deepEqual(properties["am-inseq.method"]?.enum?.toSorted(), names(methods));
  assert.deepEqual(properties["am-inseq.score"]?.enum?.toSorted(), names(scores));
});
