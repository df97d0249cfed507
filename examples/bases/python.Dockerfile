FROM scratch
ADD root.tar /
ENV LANG=C.UTF-8
LABEL org.ireko.local-base=true
CMD ["python3"]
