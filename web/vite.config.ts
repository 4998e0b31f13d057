import { defineConfig, loadEnv } from "vite";

export default defineConfig(({ mode }) => {
  // During development `npm run dev` takes its data from a running
  // `plimsoll up`; PLIMSOLL_UI names another address than the default.
  const { PLIMSOLL_UI: api = "http://127.0.0.1:4500" } = loadEnv(mode, ".", "PLIMSOLL_");
  return {
    oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
    build: { outDir: "dist", emptyOutDir: true, assetsInlineLimit: 0, chunkSizeWarningLimit: 150 },
    server: { proxy: { "/v1": api } },
  };
});
