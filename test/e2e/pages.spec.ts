import AxeBuilder from '@axe-core/playwright'
import type { Page } from '@playwright/test'
import { api, expect, logIn, setUp, test } from './fixtures.ts'

test.use({ file: 'pages' })
test.describe.configure({ mode: 'serial' })

const themes = [
  { theme: 'light', contrast: 'normal' },
  { theme: 'dark', contrast: 'normal' },
  { theme: 'light', contrast: 'high' },
  { theme: 'dark', contrast: 'high' },
]

let uids = { share: '', node: '' }

async function pages(page: Page): Promise<void> {
  const found = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']).analyze()
  const said = found.violations.map((v) => `${v.id}: ${v.help}\n  ${v.nodes.map((n) => n.target.join(' ')).join('\n  ')}`)
  expect(said, page.url()).toEqual([])
}

test('set up', async ({ page, gateway, context }) => {
  await page.goto(gateway.setupURL)
  await expect(page.getByRole('button', { name: 'Create administrator' })).toBeVisible()
  await pages(page)
  await setUp(page, gateway)
  await pages(page) // empty lists
  await api(context, gateway, 'POST', '/groups', { name: 'staff' })
  await api(context, gateway, 'POST', '/users', { name: 'alice', fullName: 'Alice Young', password: 'correct horse battery staple', groups: ['staff'] })
  const share = await api(context, gateway, 'POST', '/shares', { name: 'media', validUsers: ['@staff'], comment: 'Films and series' })
  const nodes = await api(context, gateway, 'GET', '/nodes')
  uids = { share: share.uid, node: nodes.items[0]!.uid }
  await expect(page.getByRole('row', { name: /media/ }).getByText('Ready', { exact: true })).toBeVisible()
})

for (const look of themes)
  test(`axe finds nothing: ${look.theme}, ${look.contrast} contrast`, async ({ page, gateway }) => {
    test.setTimeout(180_000)
    await page.emulateMedia({ reducedMotion: 'reduce' })
    await page.addInitScript((l) => localStorage.setItem('smbgw.appearance', JSON.stringify(l)), look)
    await page.goto(gateway.url + '/login')
    await expect(page.getByRole('textbox', { name: 'Name', exact: true })).toBeVisible()
    await pages(page)
    await logIn(page, gateway)
    const all: [path: string, ready: string][] = [
      ['/shares', 'media'],
      ['/shares?q=nothing-is-called-so', 'No share fits the search'],
      [`/shares/${uids.share}`, 'Proof by a real client'],
      ['/shares/none', 'This share does not exist'],
      ['/users', 'alice'],
      ['/groups', 'staff'],
      ['/nodes', 'Online'],
      [`/nodes/${uids.node}`, 'Facts'],
      ['/tasks', 'No tasks'],
      ['/audit', 'Created share'],
      ['/account', 'This browser'],
      ['/nowhere', 'There is no such page'],
    ]
    for (const [path, ready] of all) {
      await page.goto(gateway.url + path)
      await expect(page.getByText(ready).first()).toBeVisible()
      await pages(page)
    }
    const dialogs: [path: string, button: string][] = [
      ['/shares', 'Create share'],
      ['/users', 'Create user'],
      ['/users', 'Import users'],
      ['/groups', 'Create group'],
      ['/nodes', 'Add node'],
      ['/account', 'Create token'],
      ['/audit', 'Verify chain'],
    ]
    for (const [path, button] of dialogs) {
      await page.goto(gateway.url + path)
      await page.getByRole('button', { name: button }).first().click()
      await expect(page.getByRole('dialog')).toBeVisible()
      await pages(page)
    }
  })

for (const width of [360, 768, 1440, 2560])
  test(`nothing overflows at ${width} px`, async ({ page, gateway }) => {
    await page.setViewportSize({ width, height: 800 })
    await logIn(page, gateway)
    for (const path of ['/shares', `/shares/${uids.share}`, '/users', '/groups', '/nodes', `/nodes/${uids.node}`, '/tasks', '/audit', '/account']) {
      await page.goto(gateway.url + path)
      await page.getByRole('heading', { level: 1 }).waitFor()
      const over = await page.evaluate(() => {
        const out: string[] = []
        for (const el of document.querySelectorAll<HTMLElement>('html, main, .grid'))
          if (el.scrollWidth > el.clientWidth) out.push(`${el.tagName}.${el.className}: ${el.scrollWidth} > ${el.clientWidth}`)
        return out
      })
      expect(over, path).toEqual([])
    }
  })

test('users are imported from a file, and what failed is named', async ({ page, gateway }) => {
  await logIn(page, gateway)
  await page.goto(gateway.url + '/users')
  await page.getByRole('button', { name: 'Import users' }).click()
  await page.locator('input[type=file]').setInputFiles({
    name: 'users.csv',
    mimeType: 'text/csv',
    buffer: Buffer.from('name;password;fullName;groups\nbob;correct horse battery staple;Bob Marsh;staff\nbad name!;correct horse battery staple;;\n'),
  })
  await page.getByRole('dialog').getByRole('button', { name: 'Import', exact: true }).click()
  await expect(page.getByRole('dialog').getByText('bad name!')).toBeVisible()
  await page.getByRole('button', { name: 'Done' }).click()
  await expect(page.getByRole('row', { name: /bob.*Bob Marsh/ })).toBeVisible()
})

test('a token is shown once and can be revoked; a password can be changed', async ({ page, gateway }) => {
  await logIn(page, gateway)
  await page.goto(gateway.url + '/account')
  await page.getByRole('button', { name: 'Create token' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('textbox', { name: 'Name', exact: true }).fill('script')
  await dialog.getByRole('button', { name: 'Create token' }).click()
  await expect(dialog.getByText(/not shown again/)).toBeVisible()
  const token = await dialog.locator('code').innerText()
  const ask = () => fetchWith(token, gateway.url)
  expect(await ask()).toBe(200)
  await dialog.getByRole('button', { name: 'Done' }).click()
  await page.getByRole('button', { name: 'Revoke script' }).click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Revoke' }).click()
  await expect(page.getByText('Token script revoked.')).toBeVisible()
  expect(await ask()).toBe(401)

  async function fetchWith(secret: string, url: string): Promise<number> {
    // A context of its own: a browser session must not help.
    const context = await page.context().browser()!.newContext({ ignoreHTTPSErrors: true })
    const res = await context.request.get(url + '/api/v2/shares', { headers: { Authorization: `Bearer ${secret}` } })
    await context.close()
    return res.status()
  }
})

test('logging out ends it, and login comes back to the page that was asked for', async ({ page, gateway }) => {
  await logIn(page, gateway)
  await page.getByRole('button', { name: 'admin' }).click()
  await page.getByRole('menuitem', { name: 'Log out' }).click()
  await expect(page.getByRole('heading', { name: 'Log in' })).toBeVisible()
  await page.goto(gateway.url + '/audit')
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('admin')
  await page.getByLabel('Password', { exact: true }).fill('wrong')
  await page.getByRole('button', { name: 'Log in' }).click()
  await expect(page.getByRole('alert')).toBeVisible()
  await page.getByLabel('Password', { exact: true }).fill('a rather long passphrase')
  await page.getByRole('button', { name: 'Log in' }).click()
  await expect(page.getByRole('heading', { name: 'Audit', level: 1 })).toBeVisible()
})
