// The hosts of first_picture_hosts.py, and what their users share.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';

const REPOSITORY = path.join(import.meta.dirname, '..', '..');
const BIN = path.resolve(process.env.STILLFRAME_BIN ?? path.join(REPOSITORY, '.venv', 'bin'));

export const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--use-angle=swiftshader', '--enable-unsafe-swiftshader',
];

export function findChromium() {
  const names = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
  const found = names.find((name) => name && existsSync(name));
  if (!found) throw new Error('no browser: install chromium, or say CHROMIUM=/path/to/one');
  return found;
}

/** Starts serve, nginx and a bucket with an archive and its site: their URLs, and the studies. */
export async function startHosts(dist) {
  const script = path.join(import.meta.dirname, 'first_picture_hosts.py');
  const hosts = spawn(path.join(BIN, 'python'), [script, path.resolve(dist)], {
    cwd: REPOSITORY,
    env: { ...process.env, PYTHONPATH: REPOSITORY },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => hosts.once('exit', resolve));
  const lines = readline.createInterface({ input: hosts.stdout });
  const line = await Promise.race([new Promise((resolve) => lines.once('line', resolve)), ended.then(() => '')]);
  if (!line) throw new Error('the hosts did not start');
  const stop = () => {
    hosts.stdin.end();
    return ended;
  };
  return { ...JSON.parse(line), stop };
}

// In the page: notes when a canvas of the viewer first shows something that is not of one colour, in milliseconds since
// the address was opened.
export function watchPicture() {
  const small = document.createElement('canvas');
  small.width = small.height = 16;
  const context = small.getContext('2d', { willReadFrequently: true });
  const timer = setInterval(() => {
    for (const canvas of document.querySelectorAll('canvas.cornerstone-canvas')) {
      if (!canvas.width || !canvas.height) continue;
      context.drawImage(canvas, 0, 0, 16, 16);
      const pixels = context.getImageData(0, 0, 16, 16).data.filter((_, index) => index % 4 === 1);
      if (Math.max(...pixels) - Math.min(...pixels) < 40) continue;
      window.firstPicture = performance.now();
      clearInterval(timer);
      return;
    }
  }, 25);
}
