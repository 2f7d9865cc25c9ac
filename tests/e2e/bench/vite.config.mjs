import { defineConfig } from 'vite';
import { fileURLToPath } from 'node:url';

export default defineConfig({
  base: './',
  build: { outDir: '../node_modules/.viewers/bench', emptyOutDir: true, target: 'esnext' },
  // A dependency of a dependency extends node's EventEmitter as soon as it is loaded.
  resolve: { alias: { events: fileURLToPath(import.meta.resolve('events/')) } },
  worker: { format: 'es' },
  logLevel: 'error',
});
