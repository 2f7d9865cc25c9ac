// Hosts of an archive for bench-viewers: nginx by HTTP/1.1 and HTTP/2, and hosts with faults in front of it.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { BIN, freePort, run } from './hosts.mjs';
import { waitUntil } from './wait.mjs';

/** nginx with the configuration that `stillframe nginx` prints; with `isHttp2` by TLS, under a certificate of its own. */
export async function startNginx({ tree, work, stops, isHttp2 }) {
  const port = await freePort();
  const folder = path.join(work, isHttp2 ? 'nginx-http2' : 'nginx-http1');
  mkdirSync(folder);
  let configuration = run(path.join(BIN, 'stillframe'), ['nginx', tree, '--port', String(port)]);
  if (isHttp2) {
    const [key, certificate] = ['key.pem', 'certificate.pem'].map((name) => path.join(folder, name));
    const subject = ['-subj', '/CN=127.0.0.1', '-days', '2', '-keyout', key, '-out', certificate];
    run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...subject], { stdio: 'ignore' });
    const listen = `listen 127.0.0.1:${port}`;
    configuration = configuration.replace(
      `${listen};`, `${listen} ssl http2; ssl_certificate ${certificate}; ssl_certificate_key ${key};`,
    );
  }
  writeFileSync(path.join(folder, 'nginx.conf'), configuration);
  const user = process.getuid() === 0 ? ' user root;' : '';
  const server = spawn('/usr/sbin/nginx', ['-p', folder, '-c', 'nginx.conf', '-g', `daemon off;${user}`], { stdio: 'inherit' });
  const exited = new Promise((resolve) => server.once('exit', resolve));
  stops.push(() => (server.kill('SIGTERM'), exited));
  const origin = `http${isHttp2 ? 's' : ''}://127.0.0.1:${port}`;
  const ask = ['-sfk', '-o', '/dev/null', `${origin}/dicomweb/studies`];
  await waitUntil(() => spawnSync('curl', ask).status === 0, 'nginx does not answer');
  return origin;
}

/**
 * A host in front of another. `ignoresRanges`: it sends whole objects; `loses`: of every so many requests for frames and
 * frame indexes one connection is lost, in the middle of the body.
 */
export async function startFaulty(origin, { ignoresRanges, loses, stops }) {
  let count = 0;
  const server = http.createServer((request, response) => {
    const headers = { ...request.headers };
    if (ignoresRanges) delete headers.range;
    const isFrame = /\/frames\/\d+$|\/frame-index$/.test(request.url); // the viewer itself has to start
    if (isFrame) count += 1;
    const isLost = isFrame && loses && count % loses === 0;
    const upstream = http.request(`${origin}${request.url}`, { method: request.method, headers }, (answer) => {
      const answered = { ...answer.headers };
      if (ignoresRanges) delete answered['accept-ranges'];
      response.writeHead(answer.statusCode, answered);
      if (!isLost) return answer.pipe(response);
      return answer.once('data', (chunk) => {
        response.write(chunk.subarray(0, Math.ceil(chunk.length / 2)));
        setTimeout(() => response.destroy(), 10);
        answer.destroy();
      });
    });
    upstream.on('error', () => response.destroy());
    request.pipe(upstream);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  stops.push(() => (server.closeAllConnections(), server.close()));
  return `http://127.0.0.1:${server.address().port}`;
}
