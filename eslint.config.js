import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    files: ["lecturekit/**/*.js", "site/live/*.js", "site/photo/*.js"],
    languageOptions: { ecmaVersion: 2023, sourceType: "module", globals: globals.browser },
    rules: { "no-unused-vars": ["error", { argsIgnorePattern: "^_" }], "eqeqeq": "error", "no-var": "error", "prefer-const": "error", "max-lines": ["error", 600] },
  },
];
