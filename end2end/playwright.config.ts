import { defineConfig } from '@playwright/test';

import { chromium } from './support/browser';

export default defineConfig({
  testDir: '.',
  testMatch: '*.spec.ts',
  outputDir: 'test-results',
  globalSetup: './support/setup.ts',
  forbidOnly: !!process.env.CI,
  fullyParallel: true,
  workers: 2,
  // A whole story in a debug build, with a long master to be examined in it.
  timeout: 120_000,
  // Some of it waits for a disk to be flushed, which on a busy machine takes its time.
  expect: { timeout: 30_000 },
  reporter: 'list',
  use: {
    ...chromium,
    contextOptions: { reducedMotion: 'reduce' },
    screenshot: 'only-on-failure',
    locale: 'en-GB',
    timezoneId: 'Europe/Berlin',
  },
  projects: [
    {
      name: 'desktop',
      testIgnore: ['phone.spec.ts', 'limits.spec.ts'],
      use: { viewport: { width: 1280, height: 800 } },
    },
    { name: 'phone', testMatch: 'phone.spec.ts', use: { viewport: { width: 360, height: 800 }, hasTouch: true, isMobile: true } },
    // Its servers stand behind a proxy and limit; those of the other tests exempt this machine.
    { name: 'limits', testMatch: 'limits.spec.ts', use: { viewport: { width: 1280, height: 800 } } },
  ],
});
