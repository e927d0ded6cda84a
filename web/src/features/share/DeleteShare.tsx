import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { newID } from '../../api/http'
import type { Share } from '../../api/types'
import { t } from '../../i18n'
import { ErrorNotice } from '../../ui/Blank'
import { Dialog, FormFooter } from '../../ui/Dialog'
import { TextField } from '../../ui/Field'
import { toast, toastError } from '../../ui/toast'
import { deleteShare, recreateShare } from './api'

/** Deletes a share after its name was typed. The files stay, so there is a way back. */
export function DeleteShare({ share, onClose, onGone }: { share: Share; onClose: () => void; onGone?: () => void }) {
  const [typed, setTyped] = useState('')
  const path = share.status.path || share.path || ''
  const remove = useMutation({
    mutationFn: () => deleteShare(share, newID()),
    onSuccess: () => {
      onClose()
      onGone?.()
      toast(t.share.deleted(share.name), {
        action: {
          label: t.common.undo,
          run: () =>
            void recreateShare(share, newID()).then(
              (s) => toast(t.share.restored(s.name)),
              (err: unknown) => toastError(err),
            ),
        },
      })
    },
  })
  return (
    <Dialog
      alert
      title={t.share.deleteTitle(share.name)}
      onClose={onClose}
      busy={remove.isPending}
      onSubmit={() => typed === share.name && remove.mutate()}
      footer={
        <FormFooter
          danger
          submit={t.share.deleteAction}
          busy={remove.isPending}
          disabled={typed !== share.name}
          onClose={onClose}
        />
      }
    >
      <div className="stack tight">
        <p>{t.share.deleteText}</p>
        {path && (
          <p className="wrap">
            {t.share.filesStay} <code>{path}</code>
          </p>
        )}
      </div>
      <TextField label={t.share.typeName(share.name)} value={typed} onChange={setTyped} autoFocus />
      <ErrorNotice error={remove.error} />
    </Dialog>
  )
}
