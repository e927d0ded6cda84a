import './ui/css/index.css'
import { QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { I18nProvider } from 'react-aria-components/I18nProvider'
import './app/appearance'
import { queryClient } from './app/queries'
import { router } from './app/router'
import { codeFromHash } from './features/auth/api'
import { putCode } from './features/auth/code'
import { locale } from './i18n'

const code = codeFromHash(location.hash)
if (code !== undefined) {
  putCode(code)
  history.replaceState(null, '', '/setup')
}

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <I18nProvider locale={locale}>
      <QueryClientProvider client={queryClient}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </I18nProvider>
  </StrictMode>,
)
