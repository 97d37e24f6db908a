import { defineConfig } from '@playwright/test';

import { chromium } from './support/browser';

const DESKTOP = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 360, height: 800 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };

/**
 * Takes screenshots: `npx playwright test -c end2end/screenshots.config.ts` writes every page to target/screenshots/.
 */
export default defineConfig({
  testDir: 'tools',
  testMatch: 'screenshots.ts',
  outputDir: 'test-results',
  globalSetup: './tools/demo-server.ts',
  workers: 2,
  fullyParallel: true,
  timeout: 120_000,
  reporter: 'list',
  use: { ...chromium, locale: 'en-GB', timezoneId: 'Europe/Berlin', reducedMotion: 'reduce' },
  projects: (['light', 'dark'] as const).flatMap((colorScheme) => [
    { name: `desktop-${colorScheme}`, use: { ...DESKTOP, colorScheme } },
    { name: `phone-${colorScheme}`, use: { ...PHONE, colorScheme } },
  ]),
});
