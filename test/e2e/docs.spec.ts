import { expect, test } from './fixtures.ts'

test.use({ file: 'docs' })

// The fixtures fail it on a breach of the CSP and on a request to another host.
test('the API is described at /api/docs, from this server alone', async ({ page, gateway }) => {
  await page.goto(gateway.url + '/api/docs')
  await expect(page.getByRole('heading', { name: 'PVE SMB Gateway', level: 1 })).toBeVisible()
  await page.goto(gateway.url + '/api/docs#/operations/create-share')
  await expect(page.getByRole('heading', { name: 'Create a share', level: 1 })).toBeVisible()
  await expect(page.getByText('validUsers').first()).toBeVisible()
})
