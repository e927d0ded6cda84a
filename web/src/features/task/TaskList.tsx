import { useMutation, useQuery } from '@tanstack/react-query'
import { Ban, ListChecks } from 'lucide-react'
import { useMemo, useState } from 'react'
import type { Task } from '../../api/types'
import { t } from '../../i18n'
import { Blank, LoadError, SkeletonLines } from '../../ui/Blank'
import { Button, IconButton } from '../../ui/Button'
import { Dialog } from '../../ui/Dialog'
import { type Column, Grid } from '../../ui/Grid'
import { State } from '../../ui/State'
import { Time } from '../../ui/Time'
import { usePageTitle } from '../../ui/title'
import { toastError } from '../../ui/toast'
import { cancelTask, isBusy, taskQuery, tasksQuery } from './api'
import { Bar, TaskProgress } from './TaskProgress'

export function TaskList() {
  usePageTitle(t.task.plural)
  const tasks = useQuery(tasksQuery)
  const [open, setOpen] = useState<string | null>(null)
  const cancel = useMutation({
    mutationFn: cancelTask,
    onSuccess: () => void tasks.refetch(),
    onError: toastError,
  })
  const stop = cancel.mutate
  const columns = useMemo<Column<Task>[]>(
    () => [
      {
        id: 'title',
        header: t.task.one,
        width: 'minmax(150px, 2fr)',
        render: (x) => (
          <div className="cell-main">
            <button type="button" className="as-link truncate" onClick={() => setOpen(x.uid)}>
              {x.title || x.kind}
            </button>
            <span className="under drop truncate">{x.message || ' '}</span>
          </div>
        ),
      },
      { id: 'state', header: t.share.state, width: '122px', narrowWidth: '98px', render: (x) => <State of={x.state} /> },
      {
        id: 'progress',
        header: t.task.progress,
        width: 'minmax(140px, 1fr)',
        hide: 'narrow',
        render: (x) => (
          <div className="row">
            <div className="grow">
              <Bar task={x} />
            </div>
            <span className="small muted num">{x.total > 0 && t.task.of(x.done, x.total)}</span>
          </div>
        ),
      },
      {
        id: 'started',
        header: t.task.started,
        width: '116px',
        hide: 'medium',
        render: (x) => (
          <span className="muted">
            <Time at={x.startedAt ?? x.createdAt} />
          </span>
        ),
      },
      {
        id: 'actions',
        header: t.common.actions,
        hideHeader: true,
        width: 'var(--control)',
        end: true,
        render: (x) =>
          isBusy(x) ? (
            <IconButton label={t.task.cancel(x.title || x.kind)} icon={<Ban aria-hidden />} onPress={() => stop(x)} />
          ) : null,
      },
    ],
    [stop],
  )
  return (
    <div className="page list">
      <div className="page-head">
        <div className="titles">
          <h1>{t.task.plural}</h1>
        </div>
      </div>
      {tasks.isError && !tasks.data ? (
        <LoadError error={tasks.error} retry={() => void tasks.refetch()} />
      ) : (
        <Grid
          label={t.task.plural}
          columns={columns}
          rows={tasks.data?.items ?? []}
          total={tasks.data?.total ?? 0}
          rowKey={(x) => x.uid}
          loading={tasks.isPending}
          blank={
            <Blank icon={<ListChecks aria-hidden />} title={t.task.none}>
              {t.task.noneHint}
            </Blank>
          }
        />
      )}
      {open && <TaskDialog uid={open} onClose={() => setOpen(null)} />}
    </div>
  )
}

function TaskDialog({ uid, onClose }: { uid: string; onClose: () => void }) {
  const task = useQuery(taskQuery(uid))
  return (
    <Dialog title={task.data?.title || t.task.one} onClose={onClose} footer={<Button onPress={onClose}>{t.common.close}</Button>}>
      {task.data ? <TaskProgress task={task.data} /> : task.error ? <LoadError error={task.error} /> : <SkeletonLines />}
    </Dialog>
  )
}
