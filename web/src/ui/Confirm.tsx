import { useMutation } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { ProblemError } from '../api/problem'
import { t } from '../i18n'
import { ErrorNotice } from './Blank'
import { Dialog, FormFooter } from './Dialog'
import { Checkbox, TextField } from './Field'

/** Asks before something that cannot be taken back; with `type`, that name must be typed. */
export function Confirm(p: {
  title: string
  children: ReactNode
  action: string
  typed?: { name: string; label: string }
  /** `force` after the person was told that it is in use and chose to go on. */
  run: (force: boolean) => Promise<unknown>
  /** The code by which the server says that it is in use. */
  inUse?: string
  onDone?: () => void
  onClose: () => void
}) {
  const [text, setText] = useState('')
  const open = !p.typed || text === p.typed.name
  const [force, setForce] = useState(false)
  const run = useMutation({
    mutationFn: () => p.run(force),
    onSuccess: () => {
      p.onClose()
      p.onDone?.()
    },
  })
  return (
    <Dialog
      alert
      title={p.title}
      onClose={p.onClose}
      busy={run.isPending}
      onSubmit={() => open && run.mutate()}
      footer={<FormFooter danger submit={p.action} busy={run.isPending} disabled={!open} onClose={p.onClose} />}
    >
      <div className="stack tight">{p.children}</div>
      {p.typed && <TextField label={p.typed.label} value={text} onChange={setText} autoFocus />}
      <ErrorNotice error={run.error} />
      {p.inUse && run.error instanceof ProblemError && run.error.code === p.inUse && (
        <Checkbox label={t.common.anyway} selected={force} onChange={setForce} />
      )}
    </Dialog>
  )
}
