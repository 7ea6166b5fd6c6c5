// The peer: better-sse on node:http, a channel per name, as its documentation shows it.
import { createServer } from "node:http";
import { createChannel, createSession } from "better-sse";

const channels = new Map();
let id = 0;

function channel(name) {
  if (!channels.has(name)) channels.set(name, createChannel());
  return channels.get(name);
}

const server = createServer(async (request, response) => {
  const [, kind, name] = request.url.split("/");
  if (request.method === "GET" && kind === "sse") {
    const session = await createSession(request, response, { serializer: String, retry: null });
    channel(name).register(session);
    return;
  }
  const parts = [];
  for await (const part of request) parts.push(part);
  id += 1;
  const target = channel(name);
  target.broadcast(Buffer.concat(parts).toString(), undefined, { eventId: String(id) });
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify({ id: String(id), subscribers: target.sessionCount }));
});
server.keepAliveTimeout = 0;
server.requestTimeout = 0;
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 65535 });
