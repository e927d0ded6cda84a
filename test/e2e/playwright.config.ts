import { defineConfig } from '@playwright/test'

// Chromium is Debian's. Each test file runs in its own worker with its own server, one after the other, as probes are timed.
export default defineConfig({
  testDir: '.',
  outputDir: '../../web/test-results',
  reporter: [['list']],
  workers: 1,
  timeout: 60_000,
  expect: { timeout: 15_000 },
  forbidOnly: Boolean(process.env.CI),
  use: {
    ignoreHTTPSErrors: true, // the server's own CA
    launchOptions: { executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] },
    trace: 'retain-on-failure',
  },
})
