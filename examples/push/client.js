// A goim client for Node. In an empty folder:  npm install ws && node client.js
// node client.js [ws://127.0.0.1:3102/sub] [live://1000] [1000,1001]
const WebSocket = require("ws");

const [url = "ws://127.0.0.1:3102/sub", room = "live://1000", accepts = "1000"] = process.argv.slice(2);
const HEADER = 16, HEARTBEAT = 2, HEARTBEAT_REPLY = 3, AUTH = 7, AUTH_REPLY = 8, CONTAINER = 9;

const socket = new WebSocket(url);
let seq = 0;

function say(op, text) {
  const body = Buffer.from(text);
  const frame = Buffer.alloc(HEADER + body.length);
  frame.writeInt32BE(HEADER + body.length, 0);
  frame.writeInt16BE(HEADER, 4);
  frame.writeInt16BE(1, 6);
  frame.writeInt32BE(op, 8);
  frame.writeInt32BE(++seq, 12);
  body.copy(frame, HEADER);
  socket.send(frame);
}

function hear(frames) {
  while (frames.length >= HEADER) {
    const length = frames.readInt32BE(0);
    if (length < HEADER || length > frames.length) return; // no frame
    const op = frames.readInt32BE(8);
    const body = frames.subarray(HEADER, length);
    if (op === CONTAINER) hear(body);
    else if (op === AUTH_REPLY) joined();
    else if (op !== HEARTBEAT_REPLY) console.log(`${op} ${body}`);
    frames = frames.subarray(length);
  }
}

function joined() {
  console.log(`joined ${room}`);
  setInterval(() => say(HEARTBEAT, ""), 30_000);
}

socket.on("open", () => {
  say(AUTH, JSON.stringify({ mid: 123, room_id: room, platform: "node", accepts: accepts.split(",").map(Number) }));
});
socket.on("message", hear);
socket.on("close", () => process.exit(1));
socket.on("error", (error) => console.error(error.message));
