{{- define "weighbridge.name" -}}
{{ .Values.nameOverride | default .Chart.Name }}
{{- end }}

{{- /* With what is appended to it no longer than a name of a Service or a Job may be, and without the dots that a release may have. */ -}}
{{- define "weighbridge.fullname" -}}
{{- $name := include "weighbridge.name" . }}
{{- .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name)) | replace "." "-" | trunc 54 | trimSuffix "-" }}
{{- end }}

{{- define "weighbridge.namespace" -}}
{{ .Values.namespaceOverride | default .Release.Namespace }}
{{- end }}

{{- define "weighbridge.account" -}}
{{ .Values.serviceAccount.name | default (include "weighbridge.fullname" .) }}
{{- end }}

{{- define "weighbridge.selector" -}}
app.kubernetes.io/name: {{ include "weighbridge.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "weighbridge.labels" -}}
{{ include "weighbridge.selector" . }}
{{ include "weighbridge.origin" . }}
{{- end }}

{{- define "weighbridge.origin" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | replace "+" "_" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* The image of a list: what values say, and the chart's context. */ -}}
{{- define "weighbridge.imageOf" -}}
{{- $image := index . 0 }}
{{- with $image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default (index . 1).Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "weighbridge.image" -}}
{{ include "weighbridge.imageOf" (list .Values.image .) }}
{{- end }}

{{- define "weighbridge.evaluatorImage" -}}
{{ include "weighbridge.imageOf" (list .Values.evaluatorImage .) }}
{{- end }}

{{- /* Seconds of a duration such as 1m30s. */ -}}
{{- define "weighbridge.seconds" -}}
{{- $minutes := regexFind "[0-9]+m" . | trimSuffix "m" | default "0" | int }}
{{- $seconds := regexFind "[0-9]+s" . | trimSuffix "s" | default "0" | int }}
{{- add (mul 60 $minutes) $seconds }}
{{- end }}

{{- /* Whether an object of the Prometheus Operator is wanted, of a list: its values, its kind, and the chart's context. */ -}}
{{- define "weighbridge.monitored" -}}
{{- $wish := index . 0 }}
{{- $known := (index . 2).Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" (index . 1)) }}
{{- if and $wish.enabled (or $known (eq $wish.renderMode "alwaysRender")) }}yes{{ end }}
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
  resources: [{{ .resource | quote }}]
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
