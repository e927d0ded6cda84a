import optimizeLocales from '@react-aria/optimize-locales-plugin'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

// The dev server shows the console in one of two ways, never in the build:
//   npm run dev:fixtures                            with made-up data from dev/
//   SMBGW_API=https://127.0.0.1:8443 npm run dev    against a running server
const api = process.env.SMBGW_API

export default defineConfig(async ({ command }) => ({
  plugins: [
    // React Aria brings its words in 30 languages; the console speaks these.
    { ...optimizeLocales.vite({ locales: ['en-US', 'de-DE'] }), enforce: 'pre' as const },
    react(),
    command === 'serve' && process.env.SMBGW_FIXTURES ? (await import('./dev/mock.ts')).mockServer() : undefined,
  ],
  server: {
    proxy: api ? { '/api': { target: api, secure: false, ws: true, changeOrigin: true } } : undefined,
  },
  build: {
    target: 'es2022',
    assetsInlineLimit: 0, // the CSP allows no data: URLs
    emptyOutDir: true,
    manifest: true,
  },
  test: { environment: 'happy-dom', include: ['src/**/*.test.{ts,tsx}'] },
}))
