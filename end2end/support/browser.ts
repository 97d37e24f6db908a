import { existsSync } from 'node:fs';

/** Chromium without windows. It needs a fifth less processor time, because it draws no window. */
const HEADLESS_SHELL = '/usr/bin/chromium-headless-shell';

/** Launch options: the system's Chromium if it is installed, otherwise Playwright's own. */
export const chromium = {
  browserName: 'chromium' as const,
  launchOptions: {
    executablePath: [HEADLESS_SHELL, '/usr/bin/chromium'].find(existsSync),
    args: [
      // Chromium has no sandbox for root.
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      '--lang=en-US',
      '--disable-gpu',
      '--disable-quic',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  },
};
