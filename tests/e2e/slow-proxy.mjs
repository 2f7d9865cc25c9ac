// A proxy that sends frames at the speed of a home connection, everything else at once: on loopback a frame arrives
// whole and viewers have no partial image to show.
import http from 'node:http';

const LATENCY_MS = 40;
const PIECE = 16384;

/** @returns {Promise<{origin: string, close: () => void}>} */
export async function startSlowProxy(upstream, megabitsPerSecond) {
  const bytesPerMs = megabitsPerSecond * 125;
  let lineFreeAt = 0;

  async function sendSlowly(from, response) {
    await sleep(LATENCY_MS);
    for await (const body of from) {
      for (let at = 0; at < body.length; at += PIECE) {
        const piece = body.subarray(at, at + PIECE);
        lineFreeAt = Math.max(Date.now(), lineFreeAt) + piece.length / bytesPerMs;
        await sleep(lineFreeAt - Date.now());
        response.write(piece);
      }
    }
    response.end();
  }

  const server = http.createServer((request, response) => {
    const { method, headers } = request;
    const forwarded = http.request(upstream + request.url, { method, headers }, (from) => {
      response.writeHead(from.statusCode, from.headers);
      if (!request.url.includes('/frames/')) from.pipe(response);
      else sendSlowly(from, response).catch(() => response.destroy());
    });
    forwarded.on('error', () => response.destroy());
    request.pipe(forwarded);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
