/** The real binary, with a database and a data folder of its own. */

import { execFileSync, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

export const ROOT = resolve(__dirname, '../..');
export const FIXTURES = join(ROOT, 'target/e2e-fixtures');
/** Tests run the debug build. With VWAZA_BINARY=target/release/vwaza they run the build that is deployed. */
const BINARY = resolve(ROOT, process.env.VWAZA_BINARY ?? 'target/debug/vwaza');
/** The output of all servers of a run. */
export const LOG = join(ROOT, 'target/e2e-server.log');
const START_TIMEOUT_MS = 60_000;

export type Server = {
  url: string;
  environment: NodeJS.ProcessEnv;
  /**
   * Ends the process and starts another one on the same database, data folder and address, with `settings` in its
   * environment.
   */
  restart: (settings?: NodeJS.ProcessEnv) => Promise<void>;
  /** Ends the process and removes its database and data folder. */
  stop: () => Promise<void>;
};

/** Starts a server on a new database and a new data folder, with `settings` in its environment. */
export async function startServer(settings: NodeJS.ProcessEnv = {}): Promise<Server> {
  const databaseServer = process.env.TEST_DATABASE_URL;
  if (!databaseServer) throw new Error('TEST_DATABASE_URL is not set: run ./dev test, or eval "$(./dev env)" first');
  if (!existsSync(BINARY)) throw new Error(`${BINARY} is not there: cargo leptos build`);
  const data = mkdtempSync(join(tmpdir(), 'vwaza-e2e-'));
  const database = databaseServer.replace(/\/[^/]*$/, `/e2e_${Date.now()}_${process.pid}`);
  const sqlx = (...args: string[]) =>
    execFileSync('sqlx', ['database', ...args, '--database-url', database], { cwd: data, stdio: 'pipe' });
  sqlx('create');

  const listen = `127.0.0.1:${await freePort()}`;
  const url = `http://${listen}`;
  const environment = {
    ...process.env,
    DATABASE_URL: database,
    VWAZA_DATA_DIR: data,
    VWAZA_LISTEN: listen,
    VWAZA_PUBLIC_URL: url,
    LEPTOS_SITE_ROOT: join(ROOT, 'target/site'),
    ...settings,
  };
  let end = await serve(url, environment);
  const restart = async (settings: NodeJS.ProcessEnv = {}) => {
    await end();
    end = await serve(url, { ...environment, ...settings });
  };
  const stop = async () => {
    await end();
    sqlx('drop', '-y', '--force');
    rmSync(data, { recursive: true, force: true });
  };
  return { url, environment, restart, stop };
}

/** Starts a process and waits until it answers. Returns the function that ends it, which may be called twice. */
async function serve(url: string, environment: NodeJS.ProcessEnv): Promise<() => Promise<void>> {
  const out = openSync(LOG, 'a');
  const server = spawn(BINARY, ['serve'], { env: environment, stdio: ['ignore', out, out] });
  closeSync(out);
  const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()));
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await answers(`${url}/health`))) {
    if (server.exitCode !== null || Date.now() > deadline) throw new Error(`the server did not start; see ${LOG}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return () => {
    server.kill('SIGTERM');
    return ended;
  };
}

/** Creates an admin as an operator does. */
export function createAdmin(server: Server, email: string, password: string) {
  execFileSync(BINARY, ['user', 'create', '--email', email, '--role', 'admin'], {
    env: server.environment,
    input: `${password}\n`,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

/** Runs an example of the workspace member `testing`, which has to be built already. Returns its output. */
export function runExample(name: string, args: string[], environment: NodeJS.ProcessEnv = process.env): string {
  const example = join(dirname(BINARY), 'examples', name);
  if (!existsSync(example)) throw new Error(`${example} is not there: cargo build -p testing --example ${name}`);
  return execFileSync(example, args, { cwd: ROOT, env: environment }).toString();
}

/**
 * A port that nobody listens on. The system gives ports from 32768 on to connections, so none of them takes the port while
 * its server restarts.
 */
async function freePort(): Promise<number> {
  const port = randomInt(16_384, 32_768);
  const isFree = await new Promise<boolean>((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
  return isFree ? port : freePort();
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
}
