// Prints, in milliseconds, how long a share's page takes until its receipt shows: page.mjs URL CODE PATH
import { createRequire } from 'node:module'
const require = createRequire(new URL('../../web/package.json', import.meta.url))
const { chromium } = require('@playwright/test')

const [, , base, code, path] = process.argv
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'] })
const options = { ignoreHTTPSErrors: true, viewport: { width: 1440, height: 900 } }
const first = await browser.newContext(options)
const setup = await first.newPage()
await setup.goto(`${base}/#/setup?code=${code}`)
await setup.locator('input[name=username]').fill('bench')
for (const field of await setup.locator('input[type=password]').all()) await field.fill('correct horse battery')
await setup.locator('button[type=submit]').click()
await setup.waitForURL('**/shares')
const storageState = await first.storageState()
for (let i = 0; i < 9; i++) {
  const context = await browser.newContext({ ...options, storageState })
  const page = await context.newPage()
  const start = performance.now()
  await page.goto(base + path, { waitUntil: 'commit' })
  await page.getByText('NT_STATUS_ACCESS_DENIED').first().waitFor()
  console.log((performance.now() - start).toFixed(1))
  await context.close()
}
await browser.close()
