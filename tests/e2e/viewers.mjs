// The browser and the viewers: found, fetched and bundled.
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './hosts.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const FOLDER = path.join(HERE, 'node_modules', '.viewers');
export const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--use-angle=swiftshader', '--enable-unsafe-swiftshader',
];

export function findChromium() {
  const names = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
  const found = names.find((name) => name && existsSync(name));
  if (!found) {
    throw new Error('no browser. Debian: apt-get install chromium. Elsewhere: make e2e CHROMIUM=/path/to/chromium.');
  }
  return found;
}

/** The versions of OHIF that package.json names and `isWanted(name, index)` wants: name and folder of each. */
export function installOhif(isWanted) {
  const { ohif } = JSON.parse(readFileSync(path.join(HERE, 'package.json'))).config;
  const versions = ohif.split(' ').filter((version, index) => isWanted(`ohif-${version}`, index));
  return Object.fromEntries(versions.map((version) => [`ohif-${version}`, unpack(version)]));
}

/** OHIF's prebuilt viewer. Its package is unpacked, not installed: the dependencies it lists are those of a build. */
function unpack(version) {
  const folder = path.join(FOLDER, `ohif-${version}`);
  const dist = path.join(folder, 'package', 'dist');
  if (!existsSync(path.join(dist, 'index.html'))) {
    mkdirSync(folder, { recursive: true });
    const packed = run('npm', ['pack', '--silent', `@ohif/app@${version}`], { cwd: folder });
    const archive = packed.trim().split('\n').at(-1);
    run('tar', ['xzf', archive], { cwd: folder });
    rmSync(path.join(folder, archive));
  }
  return dist;
}

/** The page of Cornerstone3D, bundled. */
export function bundleCornerstone() {
  const made = path.join(FOLDER, 'cornerstone', 'index.html');
  const sources = ['package.json', 'cornerstone/index.html', 'cornerstone/main.js'].map((name) => path.join(HERE, name));
  const isOlder = (source) => statSync(source).mtimeMs < statSync(made).mtimeMs;
  if (existsSync(made) && sources.every(isOlder)) return path.dirname(made);
  const vite = path.join(HERE, 'node_modules', 'vite', 'bin', 'vite.js');
  run(process.execPath, [vite, 'build'], { cwd: path.join(HERE, 'cornerstone') });
  return path.dirname(made);
}
