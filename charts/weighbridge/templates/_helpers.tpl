{{- define "weighbridge.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}
{{- end }}

{{- define "weighbridge.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "weighbridge.labels" -}}
{{ include "weighbridge.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "weighbridge.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "weighbridge.evaluatorImage" -}}
{{ .Values.evaluatorImage.repository }}:{{ .Values.evaluatorImage.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* What the operator may do where it watches: the same rules in a ClusterRole or in a Role of each namespace. */ -}}
{{- define "weighbridge.rules" -}}
- apiGroups: [weighbridge.dev]
  resources: [modelregistries, evaluationjobs, modelversions, modelapprovals]
  verbs: [get, list, watch]
- apiGroups: [weighbridge.dev]
  resources: [modelregistries/status, evaluationjobs/status, modelversions/status, modelapprovals/status]
  verbs: [patch]
# A ModelVersion's evaluations. They are removed by the garbage collector, with their owner.
- apiGroups: [weighbridge.dev]
  resources: [evaluationjobs]
  verbs: [create]
# Its finalizer; the spec is never written.
- apiGroups: [weighbridge.dev]
  resources: [modelversions]
  verbs: [patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
# What serves is read from the pods themselves, and results from their termination messages.
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
{{- if .Values.kueue.enabled }}
# Why an evaluation waits in its queue.
- apiGroups: [kueue.x-k8s.io]
  resources: [workloads]
  verbs: [get, list]
{{- end }}
# The pointer. Without `create`, a target that is gone cannot come back as a stump.
{{- $kinds := dict
  "Deployment" (list "apps" "deployments")
  "StatefulSet" (list "apps" "statefulsets")
  "Service" (list "" "services")
  "Rollout" (list "argoproj.io" "rollouts")
  "InferenceService" (list "serving.kserve.io" "inferenceservices") }}
{{- range .Values.servingTargets }}
{{- $kind := get $kinds . }}
- apiGroups: [{{ index $kind 0 | quote }}]
  resources: [{{ index $kind 1 }}]
  verbs: [get, list, watch, patch]
{{- end }}
{{- range .Values.genericTargets }}
- apiGroups: [{{ .apiGroup | quote }}]
  resources: [{{ .resource }}]
  verbs: [get, patch]
{{- end }}
{{- if .Values.configMapPointers }}
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, patch]
{{- end }}
# Credentials of registries, read by name when used; never listed or watched.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}
