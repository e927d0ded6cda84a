import { useMutation, useQuery } from '@tanstack/react-query'
import { FileUp } from 'lucide-react'
import { useState } from 'react'
import { Button as AriaButton } from 'react-aria-components/Button'
import { DropZone } from 'react-aria-components/DropZone'
import { FileTrigger } from 'react-aria-components/FileTrigger'
import { newID } from '../../api/http'
import { t } from '../../i18n'
import { ErrorNotice, SkeletonLines } from '../../ui/Blank'
import { Button } from '../../ui/Button'
import { Dialog, FormFooter } from '../../ui/Dialog'
import { TaskProgress } from '../task/TaskProgress'
import { isBusy, taskQuery } from '../task/api'
import { csvRows, importUsers } from './api'

/** Uploads a CSV file of users and shows how the import goes. */
export function ImportUsers({ onClose }: { onClose: () => void }) {
  const [file, setFile] = useState<{ name: string; text: string } | null>(null)
  const send = useMutation({ mutationFn: () => importUsers(file!.text, newID()) })
  const task = useQuery({ ...taskQuery(send.data?.taskUID ?? ''), enabled: Boolean(send.data) })
  const take = async (f: Blob & { name?: string }) => setFile({ name: f.name ?? 'users.csv', text: await f.text() })
  const now = task.data

  return (
    <Dialog
      title={t.user.import}
      onClose={onClose}
      busy={send.isPending}
      onSubmit={() => file && !send.data && send.mutate()}
      footer={
        send.data ? (
          <Button look="primary" onPress={onClose}>
            {!now || isBusy(now) ? t.user.importBackground : t.common.done}
          </Button>
        ) : (
          <FormFooter submit={t.user.importAction} disabled={!file} busy={send.isPending} onClose={onClose} />
        )
      }
    >
      {send.data ? (
        now ? (
          <TaskProgress task={now} />
        ) : (
          <SkeletonLines lines={2} />
        )
      ) : (
        <>
          <p className="muted">{t.user.importText}</p>
          <div className="code">
            <pre>
              <code>{t.user.importExample}</code>
            </pre>
          </div>
          <DropZone
            className="dropzone"
            aria-label={t.user.importDrop}
            onDrop={(e) => {
              const first = e.items.find((i) => i.kind === 'file')
              if (first?.kind === 'file') void first.getFile().then(take)
            }}
          >
            <FileUp aria-hidden />
            {file ? (
              <div>
                <strong className="wrap">{file.name}</strong>
                <div className="muted small">{t.user.importRows(csvRows(file.text))}</div>
              </div>
            ) : (
              <span className="muted">{t.user.importDrop}</span>
            )}
            <FileTrigger
              acceptedFileTypes={['.csv', 'text/csv', 'text/plain']}
              onSelect={(files) => {
                const first = files?.[0]
                if (first) void take(first)
              }}
            >
              <AriaButton className="btn">{file ? t.user.importOther : t.user.importChoose}</AriaButton>
            </FileTrigger>
          </DropZone>
        </>
      )}
      <ErrorNotice error={send.error} />
    </Dialog>
  )
}
