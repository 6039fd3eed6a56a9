// What a Node user would write: each update from RabbitMQ is one ws.send for each client.
//
// `node server.js <amqp url> <exchange>`, until its input ends. It says {"port": N} when it
// listens and consumes. Bodies go on as they came, as text; ws does not compress
// unless it is asked to.
"use strict";

const amqp = require("amqplib");
const { WebSocket, WebSocketServer } = require("ws");

async function main(url, exchange) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, backlog: 1024 });
  await new Promise((resolve, reject) => server.once("listening", resolve).once("error", reject));

  const connection = await amqp.connect(url);
  const channel = await connection.createChannel();
  await channel.assertExchange(exchange, "topic", { durable: true });
  const { queue } = await channel.assertQueue("", { exclusive: true });
  await channel.bindQueue(queue, exchange, "#");
  await channel.consume(
    queue,
    (message) => {
      for (const client of server.clients) {
        if (client.readyState === WebSocket.OPEN) {
          client.send(message.content, { binary: false });
        }
      }
    },
    { noAck: true },
  );

  process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`);
  process.stdin.resume().once("end", () => process.exit(0));
}

main(process.argv[2], process.argv[3]);
