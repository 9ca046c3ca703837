import { defineConfig } from "vite";

// The built files are committed and shipped in the wheel: the same sources must give the same bytes.
export default defineConfig({
  base: "./",
  build: {
    outDir: "../src/prvr/serve/page",
    emptyOutDir: true,
    target: "es2022",
    cssTarget: ["chrome123", "firefox128", "safari17.5"],
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
    assetsInlineLimit: 0,
    license: { fileName: "licenses.md" },
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8765", "/healthz": "http://127.0.0.1:8765" } },
});
