// origin.mjs PORT CONTROL-PORT FOLDER: what Pushpin stands before, and its supervisor.
import { spawn } from "node:child_process";
import { Agent, createServer, request } from "node:http";

const [port, control, folder] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true });
let id = 0;

function event(data) {
  id += 1;
  const lines = data.split("\n").map((line) => `data: ${line}\n`);
  return `id: ${id}\n${lines.join("")}\n`;
}

// To Pushpin's control port; answers with its status.
function forward(channel, content) {
  const body = JSON.stringify({ items: [{ channel, formats: { "http-stream": { content } } }] });
  return new Promise((resolve, reject) => {
    const headers = { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) };
    const options = { host: "127.0.0.1", port: control, path: "/publish/", method: "POST", agent, headers };
    request(options, (answer) => answer.resume().on("end", () => resolve(answer.statusCode)))
      .on("error", reject)
      .end(body);
  });
}

const server = createServer(async (incoming, response) => {
  const [, kind, channel] = incoming.url.split("/");
  if (incoming.method === "GET" && kind === "sse") {
    response.writeHead(200, {
      "Content-Type": "text/event-stream",
      "Grip-Hold": "stream",
      "Grip-Channel": channel,
    });
    response.end(":\n\n");
    return;
  }
  const parts = [];
  for await (const part of incoming) parts.push(part);
  try {
    response.statusCode = await forward(channel, event(Buffer.concat(parts).toString()));
  } catch {
    response.statusCode = 502;
  }
  response.end();
});
server.keepAliveTimeout = 0;
server.listen({ port: Number(port), host: "127.0.0.1", backlog: 65535 });

// They end when the origin is told to, and also when it is killed outright.
const programs = [
  ["zurl", `--config=${folder}/zurl.conf`, "--loglevel=1"],
  ["pushpin", "--merge-output", `--config=${folder}/pushpin.conf`],
];
const children = programs.map((program) =>
  spawn("setpriv", ["--pdeathsig", "TERM", ...program], { stdio: "inherit" }),
);
let left = children.length;
function stop() {
  for (const child of children) child.kill("SIGTERM");
}
for (const child of children) {
  child.on("exit", () => {
    stop();
    left -= 1;
    if (left === 0) process.exit(0);
  });
}
process.on("SIGTERM", stop);
process.on("SIGINT", stop);
