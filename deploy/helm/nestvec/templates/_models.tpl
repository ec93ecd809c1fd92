{{- /* The volume with the encoders, which the service and Triton mount read-only. */}}
{{- define "nestvec.modelsVolume" -}}
- name: models
  {{- if eq .Values.models.source "pvc" }}
  persistentVolumeClaim:
    claimName: {{ required "models.pvc.claimName names the claim with the exported encoders." .Values.models.pvc.claimName | quote }}
    readOnly: true
  {{- else }}
  emptyDir: { sizeLimit: {{ .Values.models.sizeLimit }} }
  {{- end }}
{{- end }}

{{- define "nestvec.modelsMount" -}}
- name: models
  mountPath: /models
  readOnly: true
  {{- if and (eq .Values.models.source "pvc") .Values.models.pvc.subPath }}
  subPath: {{ .Values.models.pvc.subPath | quote }}
  {{- end }}
{{- end }}

{{- /* What copies the encoders before the pod's own container starts. */}}
{{- define "nestvec.modelsInit" -}}
{{- if eq .Values.models.source "s3" }}
{{- with .Values.models.s3 }}
initContainers:
  - name: models
    image: "{{ .image.repository }}:{{ .image.tag }}"
    imagePullPolicy: {{ .image.pullPolicy }}
    args:
      - s3
      - sync
      - --no-progress
      - --only-show-errors
      - {{ required "models.s3.uri names the bucket and prefix of the exported encoders." .uri | quote }}
      - /encoders
      {{- with .endpoint }}
      - --endpoint-url={{ . }}
      {{- end }}
    env:
      - { name: HOME, value: /tmp }
      - { name: AWS_REGION, value: {{ .region | quote }} }
    {{- with .existingSecret }}
    envFrom:
      - secretRef: { name: {{ . | quote }} }
    {{- end }}
{{- end }}
{{- else if eq .Values.models.source "image" }}
{{- with .Values.models.image }}
initContainers:
  - name: models
    image: "{{ required "models.image.repository names the image with the exported encoders." .repository }}:{{ .tag }}"
    imagePullPolicy: {{ .pullPolicy }}
    command: [cp, -R, "{{ .path }}/.", /encoders/]
{{- end }}
{{- end }}
{{- if ne .Values.models.source "pvc" }}
    securityContext:
      {{- include "nestvec.containerSecurity" . | nindent 6 }}
    resources:
      requests: { cpu: 100m, memory: 256Mi }
      limits: { memory: 1Gi }
    volumeMounts:
      # Not /models, which would hide that folder of the image.
      - { name: models, mountPath: /encoders }
      - { name: tmp, mountPath: /tmp }
{{- end }}
{{- end }}

{{- /* The bucket, while a pod starts: its address may change, so that only the port is fixed. */}}
{{- define "nestvec.s3Egress" -}}
{{- if eq .Values.models.source "s3" }}
{{- $url := urlParse (.Values.models.s3.endpoint | default "https://s3.amazonaws.com") }}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "80" "443" (eq $url.scheme "http")) }}
- ports:
    - { port: {{ $port }}, protocol: TCP }
{{- end }}
{{- end }}
