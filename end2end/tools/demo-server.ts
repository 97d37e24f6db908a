import { runExample, startServer } from '../support/server';

/** A server of its own, filled with the demo. */
export default async function setup() {
  const server = await startServer();
  runExample('demo', [], server.environment);
  process.env.VWAZA_E2E_URL = server.url;
  return server.stop;
}
