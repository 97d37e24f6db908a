import { ADMINS, ADMIN_PASSWORD } from './people';
import { createAdmin, startServer, type Server } from './server';
import { test as base } from './test';

/** A test with a server of its own. Other tests change nothing there, and the test may restart it. */
export const test = base.extend<{ server: Server }>({
  server: async ({}, use) => {
    const server = await startServer();
    try {
      createAdmin(server, ADMINS[0], ADMIN_PASSWORD);
      await use(server);
    } finally {
      await server.stop();
    }
  },
  baseURL: async ({ server }, use) => use(server.url),
});

/** The settings of a server that receives and stores files but examines none. */
export const EXAMINES_NOTHING = { VWAZA_WORKER_CONCURRENCY: '0' };

/** The console message of a browser whose page sends a request to a server that is restarting. */
export const WHILE_RESTARTING = /net::ERR_CONNECTION_REFUSED.*\/(api|media)\//;
