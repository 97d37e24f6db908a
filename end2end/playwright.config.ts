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
  // A test is a whole story in a debug build, with the examination of a long master in it.
  timeout: 120_000,
  // Some steps wait until the disk has flushed, which is slow on a busy machine.
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
    // The servers of this project are behind a proxy and apply the limits. The servers of the other tests exempt this
    // machine.
    { name: 'limits', testMatch: 'limits.spec.ts', use: { viewport: { width: 1280, height: 800 } } },
  ],
});
