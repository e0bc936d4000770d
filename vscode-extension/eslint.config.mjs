import { createTypeScriptImportResolver } from "eslint-import-resolver-typescript";
import { importX } from "eslint-plugin-import-x";
import tseslint from "typescript-eslint";

/** A folder may import from the folders that stand after it, never from those before it. */
const layers = ["extension.ts", "commands", "views", "state", "client", "protocol"];
const zones = layers.flatMap((lower, i) =>
  layers.slice(0, i).map((upper) => ({
    target: `./src/${lower}`,
    from: `./src/${upper}`,
    message: `${lower} stands below ${upper}`,
  })),
);

export default tseslint.config(
  { ignores: ["dist", "out", "node_modules", "src/protocol/generated.ts", "*.mjs"] },
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  {
    plugins: { "import-x": importX },
    languageOptions: { parserOptions: { projectService: true } },
    // Without a resolver that maps ".js" to ".ts" the zones below never match, and say nothing.
    settings: { "import-x/resolver-next": [createTypeScriptImportResolver()] },
    rules: {
      "import-x/no-restricted-paths": ["error", { zones }],
      "import-x/no-cycle": "error",
      "import-x/no-default-export": "error",
      "@typescript-eslint/explicit-module-boundary-types": "error",
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: true },
      ],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/prefer-readonly": "error",
      "no-console": "error",
      eqeqeq: "error",
      "max-lines": ["error", 400],
      "max-params": ["error", 4],
      complexity: ["error", 10],
    },
  },
  {
    files: ["src/protocol/**", "src/client/**", "src/state/**"],
    rules: {
      "no-restricted-imports": [
        "error",
        { name: "vscode", message: "only views, commands and extension.ts know the editor" },
      ],
    },
  },
  {
    files: ["test/**"],
    rules: { "@typescript-eslint/no-floating-promises": "off" }, // node:test returns promises
  },
);
