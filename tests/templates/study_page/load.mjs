// The study page's modules, imported as a browser would: node takes .js for CommonJS without a word beside it.
import { copyFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const TEMPLATES = fileURLToPath(new URL('../../../templates', import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), 'stillframe-modules-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
writeFileSync(path.join(folder, 'package.json'), '{"type":"module"}');
for (const name of readdirSync(TEMPLATES)) {
  if (/^study-.*\.js$/.test(name)) copyFileSync(path.join(TEMPLATES, name), path.join(folder, name));
}

export const load = (name) => import(pathToFileURL(path.join(folder, name)).href);
