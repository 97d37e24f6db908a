import { runExample, startServer } from '../support/server';

/** Starts a server with the demo releases. */
export default async function setup() {
  const server = await startServer();
  runExample('demo', [], server.environment);
  process.env.VWAZA_E2E_URL = server.url;
  return server.stop;
}
