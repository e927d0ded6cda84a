import type { ReactNode } from 'react'
import { t } from '../../i18n'

/** The frame of the pages before login. */
export function Gate({ title, intro, children }: { title: string; intro?: string; children: ReactNode }) {
  return (
    <main className="gate">
      <div className="panel">
        <div className="brand">
          <img src="/favicon.svg" alt="" /> {t.product}
        </div>
        <div className="stack tight">
          <h1>{title}</h1>
          {intro && <p className="muted gate-intro">{intro}</p>}
        </div>
        {children}
      </div>
    </main>
  )
}
