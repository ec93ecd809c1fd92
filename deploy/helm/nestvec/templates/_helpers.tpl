{{- define "nestvec.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- /* At most 50 characters, since -triton-metrics and the like follow. */}}
{{- define "nestvec.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "nestvec.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "nestvec.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "nestvec.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: nestvec
{{- end }}

{{- /* What selects pods, which must not change between versions of the chart. */}}
{{- define "nestvec.selector" -}}
app.kubernetes.io/name: {{ include "nestvec.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: service
{{- end }}

{{- define "nestvec.tritonSelector" -}}
app.kubernetes.io/name: {{ include "nestvec.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: triton
{{- end }}

{{- define "nestvec.testSelector" -}}
app.kubernetes.io/name: {{ include "nestvec.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: test
{{- end }}

{{- define "nestvec.image" -}}
{{- $tag := .Values.image.tag | default (printf "%s-cpu" .Chart.AppVersion) -}}
{{ .Values.image.repository }}:{{ $tag }}
{{- end }}

{{- define "nestvec.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "nestvec.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- define "nestvec.scheme" -}}
{{- ternary "https" "http" (not (empty .Values.tls.existingSecret)) }}
{{- end }}

{{- define "nestvec.tritonUrl" -}}
{{- if .Values.triton.enabled -}}
{{ include "nestvec.fullname" . }}-triton:8001
{{- else -}}
{{ .Values.triton.externalUrl }}
{{- end }}
{{- end }}

{{- define "nestvec.apiKeysSecret" -}}
{{- if .Values.apiKeys.existingSecret }}{{ .Values.apiKeys.existingSecret }}
{{- else if .Values.apiKeys.values }}{{ include "nestvec.fullname" . }}-api-keys{{ end }}
{{- end }}

{{- define "nestvec.adminKeysSecret" -}}
{{- if .Values.adminKeys.existingSecret }}{{ .Values.adminKeys.existingSecret }}
{{- else if .Values.adminKeys.values }}{{ include "nestvec.fullname" . }}-admin-keys{{ end }}
{{- end }}

{{- /* What the restricted Pod Security Standard asks of a container, and a read-only root. */}}
{{- define "nestvec.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- define "nestvec.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}
