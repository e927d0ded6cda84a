import { test as base, type BrowserContext, type Page } from '@playwright/test'
import { admin, Gateway } from './gateway.ts'

interface Worker {
  /** Files with different names get a gateway each. */
  file: string
  gateway: Gateway
}

/** A gateway of the worker's own, and pages on which a breach of the CSP, a request to another host or an uncaught
 * error fails the test. */
export const test = base.extend<{ page: Page }, Worker>({
  file: ['', { option: true, scope: 'worker' }],
  gateway: [
    async ({ file: _ }, use) => {
      const g = await Gateway.start()
      await use(g)
      await g.stop()
    },
    { scope: 'worker', timeout: 60_000 },
  ],
  page: async ({ page, gateway }, use) => {
    const wrong: string[] = []
    page.on('pageerror', (e) => wrong.push(`uncaught: ${e.message}`))
    page.on('console', (m) => {
      if (/Content Security Policy|Refused to/.test(m.text())) wrong.push(m.text())
    })
    page.on('request', (r) => {
      const u = new URL(r.url())
      if (/^(http|ws)/.test(u.protocol) && u.host !== `127.0.0.1:${gateway.port}`) wrong.push('request to ' + r.url())
    })
    await use(page)
    if (wrong.length > 0) throw new Error(wrong.join('\n'))
  },
})
export { expect } from '@playwright/test'

/** Makes the first administrator in the browser. */
export async function setUp(page: Page, gateway: Gateway): Promise<void> {
  await page.goto(gateway.setupURL)
  await page.getByLabel('Administrator name').fill(admin.name)
  await page.getByLabel('New password').fill(admin.password)
  await page.getByLabel('Repeat password').fill(admin.password)
  await page.getByRole('button', { name: 'Create administrator' }).click()
  await page.getByRole('heading', { name: 'Shares', level: 1 }).waitFor()
}

export async function logIn(page: Page, gateway: Gateway): Promise<void> {
  await page.goto(gateway.url + '/login')
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill(admin.name)
  await page.getByLabel('Password', { exact: true }).fill(admin.password)
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.getByRole('heading', { name: 'Shares', level: 1 }).waitFor()
}

/** Sends one request with the login of the page, as the console would. */
export async function api(context: BrowserContext, gateway: Gateway, method: string, path: string, data?: unknown) {
  const csrf = (await context.cookies()).find((c) => c.name === 'smbgw_csrf')?.value ?? ''
  const res = await context.request.fetch(gateway.url + '/api/v2' + path, {
    method,
    data,
    headers: { 'X-CSRF-Token': csrf, 'Idempotency-Key': crypto.randomUUID(), Origin: gateway.url },
  })
  if (!res.ok()) throw new Error(`${method} ${path}: ${res.status()} ${await res.text()}`)
  return (await res.json()) as { uid: string; items: { uid: string; name: string }[] }
}
