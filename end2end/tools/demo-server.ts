import { runExample, startServer } from '../support/server';
import { writeFixtures } from '../support/setup';

/** Starts a server with the demo releases. */
export default async function setup() {
  writeFixtures();
  const server = await startServer();
  runExample('demo', [], server.environment);
  process.env.VWAZA_E2E_URL = server.url;
  return server.stop;
}
