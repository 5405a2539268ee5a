// Puts the streams of raw_requests.txt through Node's HTTP parser: a second opinion on every verdict.
// usage: node node_requests.mjs raw_requests.txt
// Exit code 1 if Node says something else than the table says that it does.

import fs from "node:fs";
import http from "node:http";
import net from "node:net";

const CONNECTIONS_AT_ONCE = 32;
const SILENCE_MS_MAX = 10_000;

function unfold(text) {
  return text.replace(/\{([^{}*]*)\*(\d+)\}/g, (_, repeated, times) => repeated.repeat(Number(times)));
}

function bytesOf(text) {
  const plain = unfold(text).replaceAll("|", "\r\n");
  return Buffer.from(
    plain.replace(/<([0-9a-f]{2})>/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))),
    "latin1",
  );
}

// Rows of {line, stream, verdict, known}: what Node is known to say, where it is not the verdict. A line for this version
// of Node counts more than one for all.
function readTable(path) {
  const version = process.versions.node.split(".")[0];
  const rows = [];
  fs.readFileSync(path, "utf8").split("\n").forEach((line, index) => {
    const note = line.match(/^    node( \d+)?: (.+?); .{10,}$/);
    if (note) {
      const [, forVersion, verdict] = note;
      if (forVersion === undefined) rows.at(-1).known ??= verdict;
      if (forVersion?.trim() === version) rows.at(-1).known = verdict;
    } else if (line.startsWith(" ")) {
      throw new Error(`line ${index + 1}: not "    node: VERDICT; why"`);
    } else if (line !== "" && !line.startsWith("#")) {
      const arrow = line.lastIndexOf(" => ");
      rows.push({ line: index + 1, stream: bytesOf(line.slice(0, arrow)), verdict: line.slice(arrow + 4) });
    }
  });
  return rows;
}

// The verdict that a parser's error stands for. The end of the stream in the middle of a message is not the parser's.
function verdictOfError(code) {
  switch (code) {
    case "HPE_INVALID_EOF_STATE":
    case "ECONNRESET":
      return "more";
    case "HPE_HEADER_OVERFLOW":
      return "431";
    default:
      return "400";
  }
}

const seen = new Map(); // what happened on a connection, by the client's port

const server = http.createServer((request, response) => {
  const connection = seen.get(request.socket.remotePort);
  const entry = { text: `${request.method} ${request.url}`, bytes: 0, done: false };
  connection.requests.push(entry);
  request.on("data", (data) => (entry.bytes += data.length));
  request.on("end", () => {
    entry.done = true;
    response.end();
  });
});
server.httpAllowHalfOpen = true;
server.on("connection", (socket) => {
  seen.set(socket.remotePort, { requests: [], error: "" });
});
server.on("clientError", (error, socket) => {
  const connection = seen.get(socket.remotePort);
  connection.error ||= verdictOfError(error.code);
  // What was parsed before the error is delivered first.
  setImmediate(() => setImmediate(() => socket.destroy()));
});

function ask(port, stream) {
  return new Promise((resolve) => {
    let answers = "";
    const socket = net.connect({ port, host: "127.0.0.1" });
    socket.setTimeout(SILENCE_MS_MAX, () => socket.destroy());
    socket.on("connect", () => {
      const localPort = socket.localPort;
      socket.on("close", () => setImmediate(() => resolve(verdictOf(seen.get(localPort), answers))));
      socket.end(stream);
    });
    socket.on("data", (data) => (answers += data.toString("latin1")));
    socket.on("error", () => {});
  });
}

function verdictOf(connection, answers) {
  const words = connection.requests.filter((entry) => entry.done).map((entry) => `${entry.text} ${entry.bytes}`);
  const refusal = answers.match(/HTTP\/1\.1 ([45]\d\d) /);
  if (connection.error) {
    words.push(connection.error);
  } else if (refusal) {
    words.push(refusal[1]);
  } else if (connection.requests.some((entry) => !entry.done)) {
    words.push("more");
  } else if (/\r\nConnection: close\r\n/.test(answers)) {
    words.push("close");
  }
  return words.length === 0 ? "nothing" : words.join(" + ");
}

const rows = readTable(process.argv[2]);
server.listen(0, "127.0.0.1", async () => {
  const { port } = server.address();
  const waiting = [...rows];
  let wrong = 0;
  const work = async () => {
    for (let row = waiting.shift(); row; row = waiting.shift()) {
      const verdict = await ask(port, row.stream);
      const expected = row.known ?? row.verdict;
      if (verdict === expected) continue;
      wrong += 1;
      console.log(`line ${row.line}: Node says "${verdict}", the table says that it says "${expected}"`);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS_AT_ONCE }, work));
  const differing = rows.filter((row) => row.known).length;
  console.log(`${rows.length} streams, ${differing} with another verdict of Node's, ${wrong} not as the table says`);
  server.close();
  process.exit(wrong === 0 ? 0 : 1);
});
