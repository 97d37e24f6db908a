import { existsSync } from 'node:fs';

/** Without a window to draw it takes a fifth less of the processor. */
const HEADLESS_SHELL = '/usr/bin/chromium-headless-shell';

/** The system's Chromium where there is one, otherwise Playwright's own. */
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
