import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { api, expect, logIn, setUp, test } from './fixtures.ts'

test.use({ file: 'share' })
test.describe.configure({ mode: 'serial' })
const alice = { name: 'alice', password: 'correct horse battery staple' }

test('first run, then a share made in the browser is used by smbclient', async ({ page, gateway }) => {
  await setUp(page, gateway)
  expect(page.url()).not.toContain('code=')
  await page.getByRole('button', { name: 'Create share' }).first().click()
  const dialog = page.getByRole('dialog', { name: 'Create share' })
  await dialog.getByRole('textbox', { name: 'Name', exact: true }).fill('projects')
  // A user who does not exist yet is made on the way.
  await dialog.getByRole('combobox', { name: 'Who may use it' }).fill(alice.name)
  await page.getByRole('option', { name: /Create user/ }).click()
  const user = page.getByRole('dialog', { name: 'Create user' })
  await expect(user.getByRole('textbox', { name: 'Name', exact: true })).toHaveValue(alice.name)
  await user.getByLabel('Password', { exact: true }).fill(alice.password)
  await user.getByRole('button', { name: 'Create user' }).click()
  await expect(dialog.getByText(alice.name)).toBeVisible()
  await dialog.getByRole('button', { name: 'Create share' }).click()

  // Applying -> Ready without a reload.
  await page.evaluate(() => Object.assign(window, { sameDocument: true }))
  const row = page.getByRole('row', { name: /projects/ })
  await expect(row.getByText('Ready', { exact: true })).toBeVisible()
  expect(await page.evaluate(() => 'sameDocument' in window)).toBe(true)

  const local = join(gateway.dir, 'hello.txt')
  await writeFile(local, 'written by a real client\n')
  await gateway.smbclient('projects', alice.name, alice.password, `put ${local} hello.txt`)
  const back = join(gateway.dir, 'back.txt')
  await gateway.smbclient('projects', alice.name, alice.password, `get hello.txt ${back}`)
  expect(await readFile(back, 'utf8')).toBe('written by a real client\n')
  await expect(gateway.smbclient('projects', alice.name, 'not the password', 'ls')).rejects.toThrow(/LOGON_FAILURE/)
})

test('the share page shows the proof, how to connect, and the history', async ({ page, gateway }) => {
  await logIn(page, gateway)
  await page.getByRole('link', { name: 'projects' }).click()
  const proof = page.getByRole('region', { name: 'Proof by a real client' })
  await expect(proof.getByText('Read it back')).toBeVisible()
  await expect(proof.getByText('Stranger refused')).toBeVisible()
  await expect(proof.getByText('failed')).toHaveCount(0)
  const connect = page.getByRole('region', { name: 'Connect' })
  await connect.getByRole('tab', { name: 'Linux' }).click()
  await expect(connect.getByText(`smbclient //127.0.0.1/projects -p ${gateway.smbPort} -U alice`)).toBeVisible()
  await expect(connect.getByRole('img', { name: `QR code of smb://127.0.0.1:${gateway.smbPort}/projects` })).toBeVisible()
  await expect(page.getByRole('region', { name: 'History' }).getByText('Created share')).toBeVisible()
})

test('an edit is applied and proven again', async ({ page, gateway }) => {
  await logIn(page, gateway)
  await page.getByRole('link', { name: 'projects' }).click()
  await page.getByRole('button', { name: 'Edit' }).click()
  await page.getByRole('dialog').getByText(/^Read-only —/).click()
  await page.getByRole('button', { name: 'Save' }).click()
  await expect(page.getByRole('region', { name: 'Proof by a real client' }).getByText('Writing refused')).toBeVisible()
  await expect(gateway.smbclient('projects', alice.name, alice.password, 'mkdir x')).rejects.toThrow(/ACCESS_DENIED/)
  await page.getByRole('button', { name: 'Edit' }).click()
  await page.getByRole('dialog').getByText(/^Read-only —/).click()
  await page.getByRole('button', { name: 'Save' }).click()
  await expect(page.getByRole('region', { name: 'Proof by a real client' }).getByText('Write a file')).toBeVisible()
})

test('a refused name is said at its field', async ({ page, gateway }) => {
  await logIn(page, gateway)
  await page.getByRole('button', { name: 'Create share' }).first().click()
  const name = page.getByRole('dialog').getByRole('textbox', { name: 'Name', exact: true })
  for (const bad of ['PROJECTS', 'IPC$', 'a/b']) {
    await name.fill(bad)
    await page.getByRole('dialog').getByRole('button', { name: 'Create share' }).click()
    await expect(name).toHaveAttribute('aria-invalid', 'true')
    await expect(name).toBeFocused()
    await expect(name).toHaveAccessibleDescription(/\w{4,}.*\w{3,}/)
  }
})

test('a change by someone else is not overwritten', async ({ page, gateway, context }) => {
  await logIn(page, gateway)
  const { items } = await api(context, gateway, 'GET', '/shares')
  const uid = items.find((s) => s.name === 'projects')!.uid
  await page.goto(`${gateway.url}/shares/${uid}`)
  await page.getByRole('button', { name: 'Edit' }).click()
  await page.getByRole('dialog').getByRole('textbox', { name: /Comment/ }).fill('mine')
  const csrf = (await context.cookies()).find((c) => c.name === 'smbgw_csrf')!.value
  const other = await context.request.patch(`${gateway.url}/api/v2/shares/${uid}`, {
    headers: { 'X-CSRF-Token': csrf, 'If-Match': '*', 'Content-Type': 'application/merge-patch+json', Origin: gateway.url },
    data: JSON.stringify({ comment: 'theirs' }),
  })
  expect(other.ok()).toBe(true)
  await page.getByRole('button', { name: 'Save' }).click()
  await expect(page.getByText('Changed by someone else.')).toBeVisible()
  await page.getByRole('button', { name: 'Reload' }).click()
  await expect(page.getByRole('dialog').getByRole('textbox', { name: /Comment/ })).toHaveValue('theirs')
})

test('deleting leaves the files, and undo brings the share back', async ({ page, gateway }) => {
  await logIn(page, gateway)
  const row = page.getByRole('row', { name: /projects/ })
  await row.getByRole('button', { name: 'Actions for projects' }).click()
  await page.getByRole('menuitem', { name: 'Delete…' }).click()
  const dialog = page.getByRole('alertdialog')
  await expect(dialog.getByText(join(gateway.root, 'projects'))).toBeVisible()
  const button = dialog.getByRole('button', { name: 'Delete share' })
  await expect(button).toBeDisabled()
  await dialog.getByLabel(/Type/).fill('projects')
  await button.click()
  const undo = page.getByRole('button', { name: 'Undo' })
  await expect(undo).toBeVisible()
  await expect(row).toHaveCount(0)
  expect(existsSync(join(gateway.root, 'projects', 'hello.txt'))).toBe(true)
  await expect(gateway.smbclient('projects', alice.name, alice.password, 'ls')).rejects.toThrow(/BAD_NETWORK_NAME/)
  await undo.click()
  await expect(row.getByText('Ready', { exact: true })).toBeVisible()
  expect(await gateway.smbclient('projects', alice.name, alice.password, 'ls')).toContain('hello.txt')
})

test('a share can be made with the keyboard alone', async ({ page, gateway }) => {
  await logIn(page, gateway)
  const focused = (name: string) => page.evaluate((n) => document.activeElement?.tagName === 'BUTTON' && document.activeElement.textContent?.trim() === n, name)
  for (let i = 0; i < 30 && !(await focused('Create share')); i++) await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  await expect(page.getByRole('dialog').getByRole('textbox', { name: 'Name', exact: true })).toBeFocused()
  await page.keyboard.type('keys')
  await page.keyboard.press('Tab')
  await expect(page.getByRole('combobox', { name: 'Who may use it' })).toBeFocused()
  await page.keyboard.type('ali')
  await expect(page.getByRole('option', { name: /alice/ })).toBeVisible()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Enter')
  await expect(page.getByRole('button', { name: 'Remove alice' })).toBeVisible()
  for (let i = 0; i < 15 && !(await focused('Create share')); i++) await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  const row = page.getByRole('row', { name: /keys/ })
  await expect(row.getByText('Ready', { exact: true })).toBeVisible()
  // In the grid: arrows move, Enter opens.
  await row.getByRole('link', { name: 'keys' }).focus()
  await page.keyboard.press('ArrowDown')
  await expect(page.getByRole('link', { name: 'projects' })).toBeFocused()
  await page.keyboard.press('Enter')
  await expect(page.getByRole('heading', { name: 'projects', level: 1 })).toBeVisible()
})

test('a stopped server is said, what was seen stays, and it recovers by itself', async ({ page, gateway }) => {
  await logIn(page, gateway)
  await expect(page.getByText('Live', { exact: true })).toBeVisible()
  const row = page.getByRole('row', { name: /projects/ })
  await expect(row).toBeVisible()
  await gateway.down()
  await expect(page.getByRole('alert').getByText(/server cannot be reached/)).toBeVisible()
  await expect(row).toBeVisible()
  await gateway.up()
  await expect(page.getByRole('alert')).toHaveCount(0, { timeout: 30_000 })
  await expect(page.getByText('Live', { exact: true })).toBeVisible()
  await expect(row.getByText('Ready', { exact: true })).toBeVisible({ timeout: 30_000 })
})
